"""The consumer timeout that a worker asks for, and what it says about tasks that may run for longer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from kombu import Queue

from proj.delivery.consuming.consumer_timeout import (
    LONGEST_S,
    UNLIMITED_S,
    Setter,
    Timeout,
    needed_s,
    own_timeout,
    too_long,
)

BROKER = Timeout(Setter.BROKER, 1800.0)


@dataclass
class Task:
    """What is asked of a Celery task."""

    name: str
    time_limit: float | None
    acks_late: bool = True


TASKS = cast(
    "list[Any]",
    [Task("long", 7200), Task("short", 60), Task("unlimited", None), Task("early", 7200, acks_late=False)],
)


@pytest.mark.parametrize(
    ("limits", "messages", "expected"),
    [
        ([3600.0, 60.0], 1, 5400.0),
        ([3600.0], 4, 4 * 5400.0),
        ([60.0], 1, 1800.0),
        ([3600.0, None], 1, UNLIMITED_S),
        ([3600.0], 0, UNLIMITED_S),
        ([2 * UNLIMITED_S, None], 1, 3 * UNLIMITED_S),
        ([1e12], 1, LONGEST_S),
        ([], 1, 1800.0),
    ],
)
def test_worker_asks_for_more_time_than_its_longest_task_may_take(
    limits: list[float | None], messages: int, expected: float
) -> None:
    """A day when a task has no limit, never less than the broker's own timeout, and never more than a year."""
    assert needed_s(limits, messages=messages, least_s=1800.0) == expected


def test_time_that_is_asked_for_leaves_no_task_with_a_limit_to_be_leased() -> None:
    """A message is leased after four fifths of its timeout."""
    assert needed_s([3600.0], messages=1, least_s=1800.0) * 0.8 > 3600.0


@pytest.mark.parametrize(
    "queue",
    [
        Queue("q", consumer_arguments={"x-consumer-timeout": 5000}),
        Queue("q", queue_arguments={"x-queue-type": "quorum", "x-consumer-timeout": 5000}),
        Queue("q", consumer_arguments={"x-consumer-timeout": 5000}, queue_arguments={"x-consumer-timeout": 9000}),
    ],
)
def test_timeout_that_an_app_has_set_for_its_queue_is_its_own(queue: Queue) -> None:
    """The consumer's goes before the queue's, as in RabbitMQ; a message is not leased to outlive it."""
    own = own_timeout(queue)

    assert own == Timeout(Setter.APP, 5.0)
    assert own.lease_within_s is None


def test_queue_with_other_arguments_has_no_timeout_of_its_own() -> None:
    """The worker is free to set one."""
    assert own_timeout(Queue("q", consumer_arguments={"x-priority": 3})) is None


def test_worker_warns_of_a_time_limit_beyond_the_brokers_timeout() -> None:
    """One sentence for each task with late acknowledgement, with both numbers, however many queues there are."""
    (sentence,) = too_long(TASKS, None, {"a": BROKER, "b": BROKER})

    assert sentence == (
        "long may run for 7200 s (its time limit), and the broker takes its message back after 1800 s "
        "(proj_consumer_timeout_s). Its message will be leased, which costs the broker more."
    )
    assert len(too_long(TASKS, 3600, {"a": BROKER})) == 2


def test_worker_warns_that_a_timeout_of_the_app_runs_a_task_again() -> None:
    """It names the queue, and does not promise a lease."""
    queues = {"hasty": Timeout(Setter.APP, 600.0), "patient": Timeout(Setter.WORKER, 10800.0)}

    (sentence,) = too_long(TASKS, None, queues)

    assert sentence == (
        "long may run for 7200 s (its time limit), and the broker takes a message of the queue hasty back after 600 s "
        "(x-consumer-timeout of the queue). Then the task is run again."
    )


def test_worker_warns_of_nothing_where_there_is_no_timeout() -> None:
    """A classic queue of RabbitMQ 4.3 has none."""
    assert too_long(TASKS, 1e9, {"classic": Timeout(Setter.BROKER, None)}) == []
