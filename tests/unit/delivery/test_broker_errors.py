"""Errors of the broker, and the errors that users get for them."""

from __future__ import annotations

import pytest
from amqp.exceptions import PreconditionFailed

from proj.delivery.broker_errors import final_error, mismatch, queue_full
from proj.errors import QueueMismatch

IN_V = "in vhost '/'"
#: RabbitMQ's text for a mismatch, and ours.
WORDS = {
    f"inequivalent arg 'x-queue-type' for queue 'task_queue' {IN_V}: received 'quorum' but current is 'classic'": (
        "The queue 'task_queue' exists with x-queue-type=classic, but is declared with x-queue-type=quorum. "
        "Declare it as it exists (proj: PROJ_QUEUE_TYPE=classic; other apps: "
        "task_default_queue_type = 'classic'), use another name, or delete the existing queue."
    ),
    f"inequivalent arg 'x-queue-type' for queue 'task_queue' {IN_V}: received none but current is the value 'quorum' "
    "of type 'longstr'": (
        "The queue 'task_queue' exists with x-queue-type=quorum, but is declared with x-queue-type=classic. "
        "Declare it as it exists (proj: PROJ_QUEUE_TYPE=quorum; other apps: "
        "task_default_queue_type = 'quorum'), use another name, or delete the existing queue."
    ),
    f"inequivalent arg 'x-queue-type' for queue 'q' {IN_V}: received 'quorum' but current is 'stream'": (
        "The queue 'q' exists with x-queue-type=stream, but is declared with x-queue-type=quorum. "
        "Declare it as it exists, use another name, or delete the existing queue."
    ),
    f"inequivalent arg 'durable' for queue 'q' {IN_V}: received 'true' but current is 'false'": (
        "The queue 'q' exists with durable=false, but is declared with durable=true. "
        "Declare it as it exists, use another name, or delete the existing queue."
    ),
    "inequivalent arg 'x-max-length' for queue 'it's' in vhost 'v': received the value '10' of type 'signedint' but "
    "current is none": (
        "The queue \"it's\" in the virtual host 'v' exists with no x-max-length, "
        "but is declared with x-max-length=10. "
        "Declare it as it exists, use another name, or delete the existing queue."
    ),
    f"inequivalent arg 'type' for exchange 'logs' {IN_V}: received 'topic' but current is 'fanout'": (
        "The exchange 'logs' exists with type=fanout, but is declared with type=topic. "
        "Declare it as it exists, use another name, or delete the existing exchange."
    ),
    # AMQP cuts after 255 bytes.
    "inequivalent arg 'x-queue-type' for queue 'q' in vhost 'a very long o...": (
        "The queue 'q' exists with another x-queue-type than it is declared with. "
        "Declare it as it exists, use another name, or delete the existing queue."
    ),
}


def failure(words: str) -> PreconditionFailed:
    return PreconditionFailed(f"PRECONDITION_FAILED - {words}", (50, 10), "Queue.declare")


@pytest.mark.parametrize("words", WORDS)
def test_mismatch_says_what_differs_and_what_to_do(words: str) -> None:
    """Which argument, its two values, and the remedies."""
    found = mismatch(failure(words))

    assert found is not None
    assert found.message == WORDS[words]
    assert found.exit_code == 1


def test_mismatch_has_its_values_as_attributes() -> None:
    """A program that catches the error can decide by them."""
    found = mismatch(failure(next(iter(WORDS))))

    assert found is not None
    assert (found.kind, found.name, found.argument) == ("queue", "task_queue", "x-queue-type")
    assert (found.there, found.asked) == ("classic", "quorum")


@pytest.mark.parametrize(
    "error",
    [
        # A worker that was too slow must connect again, and not end.
        failure("delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms."),
        failure("unknown delivery tag 5"),
        OSError("gone"),
    ],
)
def test_other_errors_are_no_mismatch(error: Exception) -> None:
    """Among them temporary ones, after which a worker connects again."""
    assert mismatch(error) is None


def test_mismatch_is_final_for_a_publish() -> None:
    """Another attempt would fail in the same way. The error names what was published."""
    error = final_error(failure(next(iter(WORDS))), "task 1")

    assert isinstance(error, QueueMismatch)
    assert error.message.startswith("RabbitMQ did not accept task 1: the queue 'task_queue' exists with ")


def test_queue_full_says_what_was_rejected_by_whom_and_what_to_do() -> None:
    """For one message, and for several of which others were accepted."""
    nack = "nack from exchange 'tasks', routing key 'task_queue'"
    remedy = (
        "later, start more workers, or raise the limit "
        "(celery -A yourapp queues --watch shows how the queue fills and drains)."
    )

    one = queue_full("task 5", nack, tried_s=10.0, task_ids=("5",))
    many = queue_full("2 tasks (5, 6)", nack, tried_s=0.25, task_ids=("5", "6"), accepted=7)

    assert one.message == (
        f"RabbitMQ rejected task 5 for 10.0 s ({nack}); a queue is probably full. "
        f"The queue does not have it. Publish it again {remedy}"
    )
    assert many.message == (
        f"RabbitMQ rejected 2 tasks (5, 6) for 0.2 s ({nack}); a queue is probably full. It accepted 7 others. "
        f"The queue does not have them. Publish them again {remedy}"
    )
    assert many.task_ids == ("5", "6")
