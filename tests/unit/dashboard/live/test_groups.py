"""Groups: a run is split by queue and dispatch mode, after queues that share workers were measured together."""

from __future__ import annotations

import pytest

from proj.dashboard.live.groups import group_status, groups, records
from proj.journal.attempt import Attempt
from proj.journal.event import AdaptiveCounts
from proj.journal.records import Worker
from proj.metrics import figures_of


def worker(name: str, dispatch: str | None, *queues: str, slots: int = 1) -> Worker:
    return Worker(name=name, slots=slots, queues=queues or ("q",), dispatch=dispatch)


def done(task_id: str, by: str, received: float, started: float, finished: float, queue: str | None = "q") -> Attempt:
    return Attempt(
        task_id=task_id,
        state="succeeded",
        queue=queue,
        worker=by,
        sent=0.0,
        received=received,
        started=started,
        finished=finished,
    )


def by_name(*workers: Worker) -> dict[str, Worker]:
    return {one.name: one for one in workers}


def test_avoidable_wait_counts_free_slots_of_the_other_mode_on_the_same_queue() -> None:
    """An idle fair worker could have taken what a round-robin worker holds."""
    attempts = [
        done("long", "rr", 0.0, 0.0, 10.0),
        done("held", "rr", 0.0, 10.0, 11.0),
        done("quick", "fair", 0.0, 0.0, 1.0),
    ]
    workers = by_name(worker("rr", "round-robin"), worker("fair", "fair"))
    found = groups(attempts, workers)

    rr, fair = (figures_of(record) for record in records(found, attempts, workers))

    assert [group.name for group in found] == ["q · round-robin", "q · fair"]
    assert (fair.tasks, rr.tasks) == (1, 2)
    assert (fair.avoidable_wait_total_s, rr.avoidable_wait_total_s) == (0.0, 9.0)
    assert [one.name for one in fair.workers] == ["fair"]
    assert [(one.name, one.tasks, one.busy_s) for one in rr.workers] == [("rr", 2, 11.0)]
    assert fair.workers[0].idle_while_backlog_s == 9.0


def test_worker_of_two_queues_is_busy_for_both() -> None:
    """Its slot is not free for one queue while it runs a task of the other. Each group counts only its own tasks."""
    attempts = [
        done("b", "both", 0.0, 0.0, 1.0, queue="b"),
        done("a", "both", 1.0, 1.0, 9.0, queue="a"),
        done("again", "both", 9.0, 9.0, 10.0, queue="b"),
        done("long", "only-b", 0.0, 0.0, 10.0, queue="b"),
        done("held", "only-b", 0.0, 10.0, 11.0, queue="b"),
    ]
    workers = by_name(worker("both", "fair", "a", "b"), worker("only-b", "fair", "b"))
    found = groups(attempts, workers)

    a, b = (figures_of(record) for record in records(found, attempts, workers))

    assert (a.tasks, b.tasks) == (1, 4)
    assert b.avoidable_wait_total_s == 0.0
    assert [(one.name, one.busy_s) for one in b.workers] == [("both", 2.0), ("only-b", 11.0)]
    # It was present before its first task of this queue.
    assert [(one.name, one.utilisation) for one in a.workers] == [("both", 8 / 11)]


def test_queues_that_share_nothing_are_measured_apart() -> None:
    """The figures of a queue that is done stand still while the other queue goes on."""
    attempts = [
        done("t", "w1", 0.0, 0.0, 1.0, queue="a"),
        Attempt(task_id="u", state="started", queue="b", worker="w2", sent=0.0, received=0.0, started=0.0),
    ]
    workers = by_name(worker("w1", "fair", "a"), worker("w2", "fair", "b"))

    a, b = (figures_of(record) for record in records(groups(attempts, workers), attempts, workers, until=100.0))

    assert (a.makespan_s, a.workers[0].utilisation) == (1.0, 1.0)
    assert (b.makespan_s, b.ideal_s, b.workers[0].busy_s) == (100.0, 100.0, 100.0)


@pytest.mark.parametrize(
    ("modes", "expected"), [(("fair", "fair"), {"fair": 1}), (("fair", "round-robin"), {"fair": 0, "round-robin": 0})]
)
def test_message_that_no_worker_has_belongs_to_the_only_mode_of_its_queue(
    modes: tuple[str, str], expected: dict[str, int]
) -> None:
    """Where the queue has several modes, it belongs to none of them."""
    workers = by_name(*(worker(f"w{place}", mode) for place, mode in enumerate(modes)))

    found = groups([Attempt(task_id="t", state="sent", queue="q", sent=1.0)], workers)

    assert {group.dispatch: len(group.attempts) for group in found} == expected


def test_attempt_of_an_unknown_queue_belongs_to_the_only_queue_of_its_worker() -> None:
    """Producers send no task-sent events unless they are configured to."""
    workers = by_name(worker("one", "fair", "q"), worker("two", None, "a", "b"))

    found = groups([done("t", "one", 0.0, 0.0, 1.0, queue=None), done("u", "two", 0.0, 0.0, 1.0, queue=None)], workers)

    assert [group.name for group in found] == ["q · fair", "queue not known · mode not known"]


def test_group_status_counts_slots_held_tasks_and_busy_time_of_each_worker() -> None:
    """The slots of a stopped worker are not counted."""
    attempts = [
        done("t", "w1", 0.0, 1.0, 3.0),
        Attempt(task_id="u", state="started", queue="q", worker="w1", received=3.0, started=4.0),
        Attempt(task_id="v", state="received", queue="q", worker="w1", received=3.0),
        Attempt(task_id="w", state="lost", queue="q", worker="gone", received=3.0, started=3.0),
    ]
    workers = by_name(worker("w1", "fair", slots=2), worker("gone", "fair"))
    (group,) = groups(attempts, workers)

    status = group_status(group, workers, lambda name: name != "gone", lambda _: None, now=10.0)

    assert (status.slots, status.busy_slots, status.held, status.tasks, status.busy_s) == (2, 1, 1, 3, 8.0)
    assert [(one.name, one.alive, one.busy_slots, one.held) for one in status.workers] == [
        ("gone", False, 0, 0),
        ("w1", True, 1, 1),
    ]


@pytest.mark.parametrize(
    ("is_open", "alive", "window", "in_advance"),
    [(True, True, 8, 3), (True, None, 8, 3), (True, False, None, None), (False, True, None, None)],
    ids=["it runs", "read from a journal", "it is gone", "the run is over"],
)
def test_group_status_has_what_adaptive_workers_hold_and_gave_back(
    *, is_open: bool, alive: bool | None, window: int | None, in_advance: int | None
) -> None:
    """What a worker has now belongs to a run that goes on; what it gave back stays. Another mode has neither."""
    workers = by_name(worker("w1", "adaptive"), worker("w2", "fair", "q2"))
    found = groups([done("t", "w1", 0.0, 1.0, 3.0), done("u", "w2", 0.0, 1.0, 3.0, queue="q2")], workers)

    adaptive, fair = (
        group_status(group, workers, lambda _: alive, lambda _: AdaptiveCounts(8, 3, 40), now=10.0, is_open=is_open)
        for group in sorted(found, key=lambda group: group.queue or "")
    )

    (one,) = adaptive.workers
    assert (one.window, one.in_advance, one.given_back) == (window, in_advance, 40)
    assert (adaptive.in_advance, fair.in_advance) == (in_advance or 0, 0)
    assert [(one.window, one.in_advance, one.given_back) for one in fair.workers] == [(None, None, None)]
