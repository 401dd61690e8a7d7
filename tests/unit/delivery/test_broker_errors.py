"""What the broker says of a queue that exists with other arguments, and what a person is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import PreconditionFailed
from celery.exceptions import WorkerShutdown

from proj.delivery.broker_errors import mismatch, refusal
from proj.delivery.consuming.consumer import Consumer
from proj.errors import QueueMismatch

IN_V = "in vhost '/'"
#: In RabbitMQ's words, and in ours.
WORDS = {
    f"inequivalent arg 'x-queue-type' for queue 'task_queue' {IN_V}: received 'quorum' but current is 'classic'": (
        "The queue 'task_queue' exists with x-queue-type=classic, but was asked for with x-queue-type=quorum: "
        "declare it as it is (proj does with PROJ_QUEUE_TYPE=classic, other apps "
        "with task_default_queue_type = 'classic'), use another name, or delete the queue that is there."
    ),
    f"inequivalent arg 'x-queue-type' for queue 'task_queue' {IN_V}: received none but current is the value 'quorum' "
    "of type 'longstr'": (
        "The queue 'task_queue' exists with x-queue-type=quorum, but was asked for with x-queue-type=classic: "
        "declare it as it is (proj does with PROJ_QUEUE_TYPE=quorum, other apps "
        "with task_default_queue_type = 'quorum'), use another name, or delete the queue that is there."
    ),
    f"inequivalent arg 'x-queue-type' for queue 'q' {IN_V}: received 'quorum' but current is 'stream'": (
        "The queue 'q' exists with x-queue-type=stream, but was asked for with x-queue-type=quorum: "
        "declare it as it is, use another name, or delete the queue that is there."
    ),
    f"inequivalent arg 'durable' for queue 'q' {IN_V}: received 'true' but current is 'false'": (
        "The queue 'q' exists with durable=false, but was asked for with durable=true: "
        "declare it as it is, use another name, or delete the queue that is there."
    ),
    "inequivalent arg 'x-max-length' for queue 'it's' in vhost 'v': received the value '10' of type 'signedint' but "
    "current is none": (
        "The queue \"it's\" in the virtual host 'v' exists with no x-max-length, "
        "but was asked for with x-max-length=10: "
        "declare it as it is, use another name, or delete the queue that is there."
    ),
    f"inequivalent arg 'type' for exchange 'logs' {IN_V}: received 'topic' but current is 'fanout'": (
        "The exchange 'logs' exists with type=fanout, but was asked for with type=topic: "
        "declare it as it is, use another name, or delete the exchange that is there."
    ),
    # AMQP cuts after 255 bytes.
    "inequivalent arg 'x-queue-type' for queue 'q' in vhost 'a very long o...": (
        "The queue 'q' exists with another x-queue-type than it was asked for with: "
        "declare it as it is, use another name, or delete the queue that is there."
    ),
}


def failure(words: str) -> PreconditionFailed:
    return PreconditionFailed(f"PRECONDITION_FAILED - {words}", (50, 10), "Queue.declare")


@pytest.mark.parametrize("words", WORDS)
def test_queue_that_exists_otherwise_is_told_in_one_sentence(words: str) -> None:
    """Which argument, what is there, what was asked for, and what to do."""
    found = mismatch(failure(words))

    assert found is not None
    assert found.message == WORDS[words]
    assert found.exit_code == 1


def test_parts_of_the_sentence_are_there_for_programs() -> None:
    """Whoever catches it may decide by them."""
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
def test_other_failures_are_no_mismatch(error: Exception) -> None:
    """Among them those that pass, for which workers connect again."""
    assert mismatch(error) is None


def test_publisher_is_told_of_it_at_once() -> None:
    """No other attempt would end better, so it is a refusal."""
    refused = refusal(failure(next(iter(WORDS))), "Task 1")

    assert isinstance(refused, QueueMismatch)
    assert refused.message.startswith("Task 1 was not accepted: the queue 'task_queue' exists with ")


def consumer(*, fails: Exception) -> Any:
    """A consumer that has just lost its connection; its own end is all that it can do."""
    made: Any = Consumer.__new__(Consumer)
    made.event_dispatcher = SimpleNamespace(connection=SimpleNamespace(collect=lambda **_: None))
    made.channel_errors = (PreconditionFailed,)
    made.failure = fails
    return made


def test_worker_ends_with_the_sentence_and_exit_code_1(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Celery would connect again for ever (`broker_channel_error_retry`), and where it would end with a trace."""
    words, sentence = next(iter(WORDS.items()))
    ended = consumer(fails=failure(words))

    with pytest.raises(WorkerShutdown) as retrying:
        ended.on_connection_error_after_connected(ended.failure)

    def start(_self: object) -> None:
        raise ended.failure

    monkeypatch.setattr("celery.worker.consumer.Consumer.start", start)
    with pytest.raises(WorkerShutdown) as ending:
        ended.start()

    assert [retrying.value.code, ending.value.code] == [1, 1]
    assert [record.getMessage() for record in caplog.records] == [sentence, sentence]
