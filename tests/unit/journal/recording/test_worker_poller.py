"""How often workers are asked for their settings, and how long they may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

from proj.journal import worker_info
from proj.journal.recording.pollers import PATIENT_S, QUICK_TIMES, TIMES, WorkerPoller
from proj.journal.records import Worker

if TYPE_CHECKING:
    from collections.abc import Collection

    import pytest

QUICK = Worker(name="quick@h", slots=2, queues=("q",), dispatch="fair")
SLOW = Worker(name="slow@h", slots=2, queues=("q",), dispatch="fair")

#: The names that were asked, with the time limit.
Asked = list[tuple[set[str], float]]


def replies(monkeypatch: pytest.MonkeyPatch, *, slow_replies_within_s: float) -> Asked:
    """Let one worker reply at once and the other so late; returns what is asked from now on."""
    asked: Asked = []

    def ask(_app: Celery, names: Collection[str] | None, *, timeout_s: float) -> list[Worker]:
        asked.append((set(names or ()), timeout_s))
        there = [QUICK, SLOW] if timeout_s >= slow_replies_within_s else [QUICK]
        return [worker for worker in there if names is None or worker.name in names]

    monkeypatch.setattr(worker_info, "ask_workers", ask)
    return asked


def polled(poller: WorkerPoller, times: int) -> list[str]:
    """The names of the workers that so many rounds told of."""
    for _ in range(times):
        poller.poll()
    return [poller.workers.get().name for _ in range(poller.workers.qsize())]


def test_worker_that_replies_late_is_known_after_a_longer_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes every reply late, and the page would never tell the worker's dispatch mode."""
    asked = replies(monkeypatch, slow_replies_within_s=2.0)
    poller = WorkerPoller(Celery(set_as_current=False), enable=False)
    polled(poller, 1)
    poller.ask({"quick@h", "slow@h"})

    assert polled(poller, 1) == ["quick@h"]
    assert polled(poller, QUICK_TIMES) == ["slow@h"]
    asked.clear()
    assert polled(poller, 3) == []
    assert asked == []


def test_worker_that_has_not_replied_for_long_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new worker is asked before it, and it is not asked for ever."""
    asked = replies(monkeypatch, slow_replies_within_s=60.0)
    poller = WorkerPoller(Celery(set_as_current=False), enable=False)
    polled(poller, 1)
    poller.ask({"slow@h"})
    polled(poller, QUICK_TIMES)
    poller.ask({"quick@h"})
    asked.clear()

    assert polled(poller, 1) == ["quick@h"]
    assert asked == [({"quick@h"}, worker_info.TIMEOUT_S), ({"slow@h"}, PATIENT_S)]
    asked.clear()
    polled(poller, TIMES)
    assert len(asked) == TIMES - QUICK_TIMES - 1
