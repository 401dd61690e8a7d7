"""Message queues with `declare=False`: somebody else makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from proj.errors import Unroutable
from proj.lab.processes.waiting import wait_until
from tests.integration.messaging.conftest import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.messaging import Message
    from tests.integration.messaging.conftest import Queues

USER, PASSWORD = "undeclared", "secret"


@pytest.fixture
def url(broker: Broker, vhost: str) -> Iterator[str]:
    """Of a user who may configure nothing."""
    request = broker.management.request
    request("PUT", f"users/{USER}", {"password": PASSWORD, "tags": ""})
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    request("PUT", f"permissions/{quote(vhost, safe='')}/{USER}", rights)
    yield f"amqp://{USER}:{PASSWORD}@127.0.0.1:{broker.port}/{quote(vhost, safe='')}"
    request("DELETE", f"users/{USER}")


def test_queue_that_exists_is_used_by_a_user_who_may_configure_nothing(quorum: Queues, url: str) -> None:
    """It publishes, works on what comes, and makes a dead letter of what cannot be worked on."""
    quorum().declare()
    worked: list[str] = []
    queue = quorum(url=url, declare=False, attempts=1)

    def work(message: Message) -> None:
        worked.append(message.text)
        if message.text == "last":
            queue.stop()
        if message.text == "bad":
            raise ValueError("no")

    queue.declare()
    for text in ("first", "bad", "last"):
        queue.publish(text)
    queue.register(work)
    queue.start()

    assert worked == ["first", "bad", "last"]
    # The broker counts what is ready in a quorum queue a moment late.
    wait_until(lambda: quorum.ready("dead_letters") == 1, what="the dead letter", timeout_s=TIMEOUT_S)
    assert quorum.ready() == 0


@pytest.mark.parametrize("act", ["publish", "declare", "start"])
def test_queue_that_is_missing_is_named(quorum: Queues, url: str, act: str) -> None:
    """At once, because nobody but a person makes it."""
    queue = quorum("missing", url=url, declare=False)
    queue.register(print)
    acts: dict[str, Callable[[], object]] = {
        "publish": lambda: queue.publish("first"),
        "declare": queue.declare,
        "start": queue.start,
    }

    with pytest.raises(Unroutable, match=r"There is no queue 'missing', and declare=False"):
        acts[act]()
