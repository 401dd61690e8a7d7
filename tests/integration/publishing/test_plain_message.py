"""Plain messages on a real broker that goes away and comes back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from kombu import Connection, Queue

from proj.delivery.publishing.plain_message import PlainMessage
from proj.delivery.send_many import send_many
from proj.errors import PublishRefused, Unconfirmed
from proj.lab.processes.waiting import wait_until

from .conftest import QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy


def plain(count: int) -> Iterator[PlainMessage]:
    """Texts with the ids "0", "1" and so on, for a queue that each declares."""
    queue = Queue(QUEUE, durable=True)
    return (
        PlainMessage(text=f"{number}.", id=str(number), routing_key=QUEUE, declare=(queue,)) for number in range(count)
    )


def texts(url: str) -> list[str]:
    """What is in the queue; it is taken out of it."""
    found = []
    with Connection(url) as connection, connection.channel() as channel:
        while message := channel.basic_get(QUEUE, no_ack=True):
            found.append(bytes(message.body).decode() if isinstance(message.body, bytes) else message.body)
    return found


def test_plain_messages_arrive_although_the_broker_is_away(
    new_app: Callable[..., Celery], broker: Broker, vhost: str, proxy: Proxy
) -> None:
    """All arrive, also those whose queue must be declared again while the broker refuses connections."""
    app = new_app(through=proxy)
    waiters = []

    def come_back() -> None:
        try:
            wait_until(lambda: proxy.refused >= 3, what="attempts that fail", timeout_s=60)
        finally:
            proxy.admit()

    def breaking() -> Iterator[PlainMessage]:
        for number, message in enumerate(plain(200)):
            if number == 100:
                proxy.refuse()
                proxy.cut()
                waiters.append(threading.Thread(target=come_back, daemon=True))
                waiters[-1].start()
            yield message

    summary = send_many(breaking(), app=app, in_flight=20)

    waiters[0].join(timeout=60)
    found = texts(broker.url(vhost))
    assert summary.confirmed == 200
    assert set(found) == {f"{number}." for number in range(200)}
    assert len(found) <= 200 + summary.republished


def test_plain_message_is_given_up_at_the_deadline_when_its_queue_cannot_be_declared(
    new_app: Callable[..., Celery], proxy: Proxy
) -> None:
    """The error names the message, and comes after the given timeout, not after the app's own."""
    app = new_app(through=proxy)
    proxy.refuse()
    begun = time.monotonic()

    with pytest.raises(Unconfirmed, match=r"^RabbitMQ did not confirm message 0 within 1 s") as caught:
        send_many(plain(3), app=app, timeout_s=1)

    assert caught.value.task_ids == ("0",)
    assert time.monotonic() - begun < 10


def test_plain_message_is_refused_at_once_when_its_queue_has_other_arguments(
    app: Celery, broker: Broker, vhost: str
) -> None:
    """There is no retry, because it would fail in the same way."""
    with Connection(broker.url(vhost)) as connection:
        Queue(QUEUE, max_length=5)(connection.default_channel).declare()

    with pytest.raises(PublishRefused, match=r"^RabbitMQ did not accept message 0: .* exists with x-max-length=5"):
        send_many(plain(3), app=app)
