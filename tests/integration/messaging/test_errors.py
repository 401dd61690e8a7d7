"""The errors of a message queue when the broker is away or refuses: one sentence and a short traceback."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import amqp
import pytest

from proj.errors import NoBroker, QueueMismatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.messaging.conftest import Queues


def test_queue_with_another_type_is_refused(quorum: Queues) -> None:
    """Publisher and consumer both say which type exists and which one is declared."""
    quorum().publish("first")
    other = quorum(queue_type="classic")
    other.register(print)

    with pytest.raises(QueueMismatch, match=r"x-queue-type=quorum.*x-queue-type=classic"):
        other.publish("second")
    with pytest.raises(QueueMismatch, match=r"x-queue-type=quorum.*x-queue-type=classic"):
        other.start()


@pytest.mark.parametrize("act", ["publish", "declare", "start", "loop"])
def test_error_has_one_short_traceback(quorum: Queues, act: str) -> None:
    """The tracebacks of three libraries would hide the sentence, which has the broker's text."""
    quorum().declare()
    other = quorum(queue_type="classic")
    other.register(print)
    acts: dict[str, Callable[[], object]] = {
        "publish": lambda: other.publish("second"),
        "declare": other.declare,
        "start": other.start,
        "loop": lambda: next(iter(other)),
    }

    with pytest.raises(QueueMismatch) as refused:
        acts[act]()

    told = "".join(traceback.format_exception(refused.value))
    assert (told.count("Traceback"), "amqp" in told) == (1, False)
    assert len(told.splitlines()) <= 20
    assert isinstance(refused.value.__context__, amqp.PreconditionFailed)  # for debugging


def test_publish_without_a_broker_raises_no_broker_at_once(quorum: Queues) -> None:
    """There is no retry for a broker that has never answered."""
    with pytest.raises(NoBroker, match="No broker answers"):
        quorum(url="amqp://guest:guest@127.0.0.1:1//").publish("first")


def test_consumer_whose_login_is_refused_raises_no_broker(quorum: Queues) -> None:
    """With a wrong password and with a virtual host that does not exist; another attempt would not help."""
    elsewhere = quorum(url=quorum.url + "-elsewhere")
    elsewhere.register(print)
    with pytest.raises(NoBroker, match=r"refuses the login.*virtual host"):
        elsewhere.start()

    queue = quorum(url=quorum.url.replace("amqp://proj:", "amqp://proj:not"))
    queue.register(print)

    with pytest.raises(NoBroker, match="refuses the login"):
        queue.start()
