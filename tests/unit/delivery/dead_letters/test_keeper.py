"""The keeper of the dead-letter queue, without a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from proj.broker.queue_counts import QueueCount
from proj.delivery.dead_letters import keeper
from proj.delivery.dead_letters.keeper import MOST_TRIES, DeadLetterKeeper

THERE = QueueCount(0, 0)


@pytest.fixture(autouse=True)
def _without_management(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_say_where_they_go", lambda *_: None)
    monkeypatch.setattr(keeper, "declare_dead_letters", lambda *_, **__: None)


def times_made(*looks: QueueCount | None, may: bool = False) -> int:
    """How often the queue is made, at the beginning of a connection and at these looks.

    `may` tells whether the broker has answered the first time, and the user may make it.
    """
    asked: list[Any] = []
    answers: list[Any] = []
    checks: list[Any] = []
    consumer: Any = SimpleNamespace(
        app=Celery(set_as_current=False),
        connection=None,
        task_consumer=None,
        forwarder=SimpleNamespace(ask=asked.append),
        rounds=SimpleNamespace(every=lambda _seconds, check: checks.append(check)),
        call_soon=lambda _count, _connection, _name, answer: answers.append(answer),
    )
    DeadLetterKeeper(consumer).begin()
    if may:
        asked[0](None)
    for look in looks:
        checks[0]()
        answers.pop()(look)
    return len(asked)


def test_queue_that_is_there_is_made_once_a_connection() -> None:
    """Which does nothing to it."""
    assert times_made(THERE, THERE) == 1


def test_queue_that_was_deleted_is_made_again_each_time() -> None:
    """At the next look."""
    assert times_made(THERE, None, THERE, None) == 3


def test_queue_that_was_deleted_before_the_first_look_is_made_again() -> None:
    """The worker has made it a moment before, so it may make it."""
    assert times_made(None, THERE, may=True) == 2


def test_queue_that_cannot_be_made_is_not_tried_for_ever() -> None:
    """A user without the permission would fill the logs of worker and broker."""
    assert times_made(None, None, None) == 1
    assert times_made(THERE, *[None] * 9) == 1 + MOST_TRIES
