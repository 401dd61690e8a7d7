"""Pauses of a worker that the broker refuses."""

from __future__ import annotations

import celery.worker.state
import pytest
from celery.exceptions import WorkerShutdown

from proj.delivery.recovery.refusals import FORGET_S, LONGEST_S, Refusals
from proj.errors import NoBroker


def test_pauses_grow_up_to_the_longest() -> None:
    """The first attempt is at once: a channel that the broker has closed works again."""
    refusals, now, pauses = Refusals(None), 100.0, []
    for _ in range(30):
        pause_s = refusals.pause_s(now)
        assert pause_s is not None
        pauses.append(pause_s)
        now += pause_s + 1

    assert pauses[:3] == [0, 2, 4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_S


def test_worker_that_has_worked_meanwhile_begins_anew() -> None:
    """An old refusal says nothing about a new one."""
    refusals = Refusals(2)

    assert [refusals.pause_s(100.0), refusals.pause_s(101.0)] == [0, 2]
    assert refusals.pause_s(200.0 + FORGET_S) == 0
    assert [refusals.pause_s(201.0 + FORGET_S), refusals.pause_s(204.0 + FORGET_S)] == [2, None]


def test_worker_that_is_told_to_end_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends the pause."""
    refusals = Refusals(None)
    refusals.wait(NoBroker("It refuses."))
    monkeypatch.setattr(celery.worker.state, "should_stop", 0)

    with pytest.raises(WorkerShutdown):
        refusals.wait(NoBroker("It refuses."))
