"""Tasks that were acknowledged early and begun, on the page, when their worker is gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proj.dashboard.live.early_losses import loss_notes, with_losses
from proj.dashboard.live.snapshot import event_counts, readings, snapshot
from proj.dashboard.live.state import State
from proj.dashboard.live.workers import Workers
from proj.journal.attempt import Attempt
from proj.journal.event import WorkerEvent
from proj.journal.records import Worker

STARTED = Attempt(task_id="t", state="started", name="pack", worker="w@h", queue="q", sent=99.0, started=100.0)


def beat(workers: Workers, time: float, *, pid: int = 1, kind: str = "heartbeat") -> None:
    workers.add_event(WorkerEvent("w@h", kind, time, pid, 1, 2.0), time)


def workers_with(*beats: dict[str, Any], early: tuple[str, ...] | None = ("pack",)) -> Workers:
    """A worker with heartbeats from before the start of the attempt, and these."""
    workers = Workers()
    beat(workers, 99.0)
    workers.update([Worker(name="w@h", slots=2, queues=("q",), dispatch="fair", early=early)], 99.5)
    for one in ({"time": 101.0}, *beats):
        beat(workers, **one)
    return workers


def test_task_of_a_worker_without_heartbeats_is_lost_at_the_last_one() -> None:
    """Its note says that this holds if the worker is gone: the page cannot know it."""
    workers = workers_with()

    (lost,) = with_losses([STARTED], workers, 120.0)

    assert (lost.state, lost.finished) == ("lost", 101.0)
    assert loss_notes([STARTED, STARTED], workers, 120.0) == [
        (
            "No heartbeat comes from w@h. 2 tasks that it had begun are lost if it is gone, because of early "
            "acknowledgement (task_acks_late is False): pack."
        )
    ]


def test_task_of_a_worker_that_was_started_again_is_lost() -> None:
    """Its heartbeats have the number of another process."""
    workers = workers_with({"time": 110.0, "pid": 2, "kind": "online"}, {"time": 112.0, "pid": 2})

    (lost,) = with_losses([STARTED], workers, 113.0)

    assert (lost.state, lost.finished) == ("lost", 110.0)
    assert loss_notes([STARTED], workers, 113.0) == [
        (
            "w@h was started again. 1 task that its former process had begun is lost because of early acknowledgement "
            "(task_acks_late is False): pack."
        )
    ]


def test_task_of_a_worker_that_said_goodbye_runs_until_its_end_or_for_five_minutes() -> None:
    """In a warm shutdown, and when it is halted, the worker ends what it runs. What it held is back in its queue."""
    workers = workers_with({"time": 102.0, "kind": "offline"})
    held = Attempt(task_id="u", state="received", name="pack", worker="w@h", received=100.0)

    drains = with_losses([STARTED, held], workers, 120.0)
    (lost,) = with_losses([STARTED], workers, 403.0)

    assert [(one.state, one.finished) for one in drains] == [("started", None), ("returned", 102.0)]
    assert loss_notes([STARTED], workers, 120.0) == []
    assert (lost.state, lost.finished) == ("lost", 102.0)


def test_page_draws_a_task_of_a_worker_that_said_goodbye_as_running() -> None:
    """Its run goes on; the slot that it has is all that is left of its worker."""
    state = State(100, workers=workers_with({"time": 102.0, "kind": "offline"}))
    state.now = 120.0
    state.load([STARTED], [], now=120.0)
    counts = event_counts(state, heard=1, refused=0, dropped=0)

    said, is_open = snapshot(state, None, counts, origin={}, now=120.0)

    assert '"lanes":[[[1.0,21.0,"unfinished","pack",1,1,0]],[]]' in said.decode()
    (group,) = json.loads(said)["groups"]
    assert (is_open, group["busy_slots"], group["slots"], group["workers"][0]["alive"]) == (True, 1, 1, False)


@pytest.mark.parametrize(
    ("attempt", "workers", "now"),
    [
        # Its heartbeats come.
        (STARTED, workers_with(), 102.0),
        # It was begun by the new process.
        (
            Attempt(task_id="t", state="started", name="pack", worker="w@h", started=111.0),
            workers_with({"time": 110.0, "pid": 2}, {"time": 112.0, "pid": 2}),
            113.0,
        ),
        # It ended.
        (
            Attempt(task_id="t", state="succeeded", name="pack", worker="w@h", started=100.0, finished=101.0),
            workers_with(),
            120.0,
        ),
    ],
)
def test_other_tasks_are_not_lost(attempt: Attempt, workers: Workers, now: float) -> None:
    """They are done, or will be."""
    assert with_losses([attempt], workers, now) == [attempt]
    assert loss_notes([attempt], workers, now) == []


@pytest.mark.parametrize("early", [("other",), None])
def test_task_that_was_not_acknowledged_ends_with_its_worker_too(early: tuple[str, ...] | None) -> None:
    """It does not run for ever. No note says that it is lost, because another worker gets it."""
    workers = workers_with(early=early)
    held = Attempt(task_id="u", state="received", name="pack", worker="w@h", received=100.0)

    ended = with_losses([STARTED, held], workers, 120.0)

    assert [(one.state, one.finished) for one in ended] == [("lost", 101.0), ("returned", 101.0)]
    assert loss_notes([STARTED, held], workers, 120.0) == []


def test_page_and_metrics_show_no_lost_task_as_one_at_work() -> None:
    """The chart draws it as lost, and a note names it."""
    state = State(100, workers=workers_with())
    state.load([STARTED], [], now=120.0)
    counts = event_counts(state, heard=1, refused=0, dropped=0)

    shown = snapshot(state, None, counts, origin={}, now=120.0)[0].decode()
    told = readings(state, counts, 120.0)

    assert '"lanes":[[[1.0,2.0,"lost","pack",1,1,0]],[]]' in shown
    assert "because of early acknowledgement" in shown
    assert [group.busy_slots for group in told.groups] == [0]
    assert [queue.events.unacknowledged for queue in told.queues] == [0]
