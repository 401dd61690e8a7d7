"""The history in memory: which attempts it keeps, and that a flood of events cannot make it grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proj import metrics
from proj.dashboard.live.groups import groups, records
from proj.dashboard.live.history import MOST_ATTEMPTS, MOST_EVENTS, grouped
from proj.dashboard.live.state import State
from proj.journal.attempts import Attempts
from proj.journal.event import ENDS, TaskEvent, WorkerEvent
from proj.journal.records import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKERS = [Worker(name=name, slots=1, queues=("q",), dispatch="fair") for name in ("w1", "w2")]


def event(task_id: str, kind: str, time: float, host: str = "w1", **more: object) -> TaskEvent:
    return TaskEvent(task_id, kind, time, host, **more)  # type: ignore[arg-type] # the fields of an event


def update(state: State, *events: TaskEvent, heard: float | None = None) -> None:
    state.now = max([state.now, *(one.time for one in events)])
    state.history.update(grouped((one.time if heard is None else heard, one) for one in events))


def task_ids(state: State) -> list[str]:
    return [task_id for task_id, _ in state.history]


task_events = st.builds(
    TaskEvent,
    st.sampled_from(("t1", "t2", "t3")),
    st.sampled_from(("sent", "received", "started", *sorted(ENDS))),
    st.integers(1, 9).map(float),
    st.sampled_from(("w1", "w2")),
    queue=st.just("q"),
    name=st.none(),
    arguments=st.just(""),
    retries=st.just(0),
    eta=st.none(),
    runtime_s=st.none(),
)


def ended_once(told: Sequence[TaskEvent]) -> list[TaskEvent]:
    """Only the first end of a task at each worker that also sent a revoked event of it.

    Celery may send two ends of a task that was revoked while it ran. The journal keeps one of them, and which one may
    depend on the events that are known by then.
    """
    revoked = {(one.task_id, one.host) for one in told if one.kind == "revoked"}
    ended: set[tuple[str, str | None]] = set()
    kept = []
    for one in told:
        where = one.task_id, one.host
        if one.kind in ENDS and where in revoked:
            if where in ended:
                continue
            ended.add(where)
        kept.append(one)
    return kept


@settings(max_examples=60, deadline=None, database=None)
@given(told=st.lists(task_events, max_size=15).map(ended_once), cuts=st.lists(st.integers(1, 15), max_size=4))
def test_history_without_evictions_has_the_figures_of_all_events(
    told: Sequence[TaskEvent], cuts: Sequence[int]
) -> None:
    """In any order of the events, and for any batches."""
    state = State(1000)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(told)], strict=True):
        update(state, *told[begin:end], heard=10.0)
    whole = Attempts()
    for one in told:
        kind = "revoked" if one.kind == "expired" else one.kind
        heard = {"type": f"task-{kind}", "uuid": one.task_id, "timestamp": one.time, "hostname": one.host, "queue": "q"}
        whole.add({**heard, "expired": one.kind == "expired"})
    kept = [attempt for run in state.runs for attempt in state.history.attempts(run.name)]

    assert metrics.figures(kept, WORKERS) == metrics.figures(list(whole), WORKERS)
    assert state.history.kept == len(kept)


def test_task_that_ended_first_is_evicted_first() -> None:
    """The order of the ends counts, not that of the beginnings."""
    state = State(3)
    for number in range(3):
        update(state, event(f"t{number}", "received", number), event(f"t{number}", "started", number))
    update(state, event("t1", "succeeded", 4.0), event("t0", "succeeded", 5.0))
    update(state, event("t3", "received", 6.0))
    update(state, event("t4", "received", 7.0))

    assert task_ids(state) == ["t2", "t3", "t4"]


def test_open_task_is_evicted_only_when_no_task_has_ended() -> None:
    """The oldest is evicted first, so that memory is bounded whatever comes."""
    state = State(100)
    for number in range(10_000):
        update(state, event(f"forged-{number}", "received", float(number), host=f"w{number}"))

    assert state.history.kept == 100
    assert task_ids(state)[0] == "forged-9900"


def test_task_that_is_redelivered_after_its_end_is_open_again() -> None:
    """It may have been rejected and requeued. A task that has ended meanwhile is evicted before it."""
    state = State(3)
    update(state, event("again", "received", 1.0), event("again", "rejected", 2.0))
    update(state, event("other", "received", 3.0), event("other", "succeeded", 4.0))
    update(state, event("again", "received", 5.0, host="w2"))
    update(state, event("more", "received", 6.0))

    assert task_ids(state) == ["again", "more"]


def test_too_many_events_of_one_task_are_dropped_and_counted() -> None:
    """The time to update a task grows with the square of the number of its events."""
    state = State(1000)
    forged = [event("t", "received", float(number), host=f"w{number}") for number in range(5000)]
    update(state, *forged, heard=1.0)

    assert state.history.kept == MOST_ATTEMPTS
    assert state.history.dropped == (5000 - MOST_EVENTS) + (MOST_EVENTS - MOST_ATTEMPTS)


@pytest.mark.parametrize(("last", "runs"), [(None, 2), ("heartbeat", 1), ("offline", 1)])
def test_task_of_a_worker_that_is_gone_does_not_hold_its_run_open(last: str | None, runs: int) -> None:
    """It may never end, and the next run must not wait an hour for it. After its goodbye a worker ends its tasks."""
    state = State(10)
    state.workers.add_event(_beat("w1", "heartbeat", 1.0), 1.0)
    update(state, event("t", "received", 1.0), event("t", "started", 1.0))
    if last is not None:
        state.workers.add_event(_beat("w1", last, 19.0), 19.0)
    update(state, event("later", "received", 20.0, host="w2"))

    assert len(list(state.runs)) == runs


def test_start_is_returned_once_however_often_its_event_comes() -> None:
    """The starts are compared with those that the workers count themselves."""
    state = State(10)
    started = []
    events = [event("t", "received", 1.0), event("t", "started", 2.0), event("t", "succeeded", 3.0)]
    for one in [*events, *events]:
        started += state.history.update(grouped([(one.time, one)]))

    assert [(task_id, attempt.started) for task_id, attempt in started] == [("t", 2.0)]


def test_attempts_of_a_journal_get_the_runs_that_they_had_live() -> None:
    """Named runs are found by name, and the others by the same silences."""
    live, loaded = State(100), State(100)
    for begin in (1000.0, 1003.0, 1030.0):
        name = f"t{begin}"
        update(live, event(name, "received", begin), event(name, "started", begin))
        update(live, event(name, "succeeded", begin + 2))
    kept = [attempt for _, task in live.history for attempt in task.attempts]
    loaded.load(kept[::-1], [], now=2000.0)

    assert [(run.name, run.attempts) for run in loaded.runs] == [(run.name, run.attempts) for run in live.runs]
    assert len(list(live.runs)) == 2


def test_figures_of_the_only_group_are_those_of_all_attempts() -> None:
    """A run of one queue and one mode is one group, whose record is that of the run."""
    state = State(10)
    update(state, event("t", "received", 1.0), event("t", "started", 2.0), event("t", "succeeded", 4.0))
    attempts = [attempt for _, task in state.history for attempt in task.attempts]
    workers = {worker.name: worker for worker in WORKERS}

    (record,) = records(groups(attempts, workers), attempts, workers)

    assert metrics.figures_of(record) == metrics.figures(attempts, WORKERS)


def _beat(worker: str, kind: str, time: float) -> WorkerEvent:
    return WorkerEvent(worker, kind, time, 1, 0)
