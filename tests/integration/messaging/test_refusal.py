"""What a message queue says when the broker is away or will not have it: one sentence, below a short traceback."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import amqp
import pytest

from proj.errors import NoBroker, QueueMismatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.messaging.conftest import Queues


def test_queue_with_another_type_is_refused_in_one_sentence(quorum: Queues) -> None:
    """Publisher and consumer alike say what there is and what was asked for."""
    quorum().publish("first")
    other = quorum(queue_type="classic")
    other.register(print)

    with pytest.raises(QueueMismatch, match=r"x-queue-type=quorum.*x-queue-type=classic"):
        other.publish("second")
    with pytest.raises(QueueMismatch, match=r"x-queue-type=quorum.*x-queue-type=classic"):
        other.start()


@pytest.mark.parametrize("act", ["publish", "declare", "start", "loop"])
def test_error_comes_without_the_story_of_how_it_came_about(quorum: Queues, act: str) -> None:
    """Its sentence has the broker's words; the tracebacks of three libraries before it would hide it."""
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
    assert isinstance(refused.value.__context__, amqp.PreconditionFailed)  # for who wants to know


def test_broker_that_is_not_there_is_told_at_once_to_who_publishes(quorum: Queues) -> None:
    """Nobody waits for a minute in front of a broker that was never started."""
    with pytest.raises(NoBroker, match="No broker answers"):
        quorum(url="amqp://guest:guest@127.0.0.1:1//").publish("first")


def test_broker_that_does_not_let_us_in_is_told_to_who_consumes(quorum: Queues) -> None:
    """Another attempt would not help; neither with a wrong password nor on a virtual host that is not there."""
    elsewhere = quorum(url=quorum.url + "-elsewhere")
    elsewhere.register(print)
    with pytest.raises(NoBroker, match=r"refuses the login.*virtual host"):
        elsewhere.start()

    queue = quorum(url=quorum.url.replace("amqp://proj:", "amqp://proj:not"))
    queue.register(print)

    with pytest.raises(NoBroker, match="refuses the login"):
        queue.start()
