"""A publish from the callback of a consumer, over the connection that it consumes from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from celery.contrib.migrate import move
from kombu import Connection, Queue

from proj.delivery.send_many import send_many

from .conftest import QUEUE, arrived, close, make_app
from .signatures import ids, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

    from proj.lab.broker import Broker

#: So many that a call of the callback inside itself for each would be too deep.
COUNT = 300


@pytest.fixture
def other_vhost(broker: Broker, vhost: str) -> Iterator[str]:
    name = f"{vhost}-other"
    broker.add_vhost(name)
    yield name
    broker.remove_vhost(name)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["broker-of-the-app", "another-broker"])
def test_tasks_are_moved_to_another_queue_by_celerys_own_tool(
    broker: Broker, vhost: str, other_vhost: str, new_app: Callable[..., Celery], *, elsewhere: bool
) -> None:
    """`celery.contrib.migrate.move` publishes in the callback, to the broker of its connection, and acknowledges."""
    app, url = new_app(), broker.url(other_vhost if elsewhere else vhost)
    sender = make_app(url)
    send_many(signatures(sender, COUNT), app=sender)
    close(sender)

    with Connection(url) as connection:
        Queue("target", durable=True)(connection.default_channel).declare()
        move(lambda _body, _message: True, connection, "", "target", source=[QUEUE], app=app)

    assert arrived(url, "target") == Counter(ids(COUNT))
    assert not arrived(url)
