"""Groups: a run by queue and dispatch mode, measured together where workers or queues are shared."""

from __future__ import annotations

import pytest

from proj.dashboard.live.groups import group_status, groups, records
from proj.journal.attempt import Attempt
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


def crew(*workers: Worker) -> dict[str, Worker]:
    return {one.name: one for one in workers}


def test_avoidable_wait_counts_free_slots_of_the_other_mode_on_the_same_queue() -> None:
    """What a round-robin worker hoards, an idle fair one could have taken."""
    attempts = [
        done("long", "rr", 0.0, 0.0, 10.0),
        done("hoarded", "rr", 0.0, 10.0, 11.0),
        done("quick", "fair", 0.0, 0.0, 1.0),
    ]
    workers = crew(worker("rr", "round-robin"), worker("fair", "fair"))
    found = groups(attempts, workers)

    rr, fair = (figures_of(record) for record in records(found, attempts, workers))

    assert [group.name for group in found] == ["q · round-robin", "q · fair"]
    assert (fair.tasks, rr.tasks) == (1, 2)
    assert (fair.avoidable_wait_total_s, rr.avoidable_wait_total_s) == (0.0, 9.0)
    assert [one.name for one in fair.workers] == ["fair"]
    assert [(one.name, one.tasks, one.busy_s) for one in rr.workers] == [("rr", 2, 11.0)]
    assert fair.workers[0].idle_while_backlog_s == 9.0


def test_worker_of_two_queues_is_busy_for_both() -> None:
    """Its slot is not free for one queue while it works for the other; each group has only its own work."""
    attempts = [
        done("b", "both", 0.0, 0.0, 1.0, queue="b"),
        done("a", "both", 1.0, 1.0, 9.0, queue="a"),
        done("again", "both", 9.0, 9.0, 10.0, queue="b"),
        done("long", "only-b", 0.0, 0.0, 10.0, queue="b"),
        done("held", "only-b", 0.0, 10.0, 11.0, queue="b"),
    ]
    workers = crew(worker("both", "fair", "a", "b"), worker("only-b", "fair", "b"))
    found = groups(attempts, workers)

    a, b = (figures_of(record) for record in records(found, attempts, workers))

    assert (a.tasks, b.tasks) == (1, 4)
    assert b.avoidable_wait_total_s == 0.0
    assert [(one.name, one.busy_s) for one in b.workers] == [("both", 2.0), ("only-b", 11.0)]
    # It was there before its first task of this queue.
    assert [(one.name, one.utilisation) for one in a.workers] == [("both", 8 / 11)]


def test_queues_that_share_nothing_are_measured_apart() -> None:
    """One that is done stands still while the other goes on."""
    attempts = [
        done("t", "w1", 0.0, 0.0, 1.0, queue="a"),
        Attempt(task_id="u", state="started", queue="b", worker="w2", sent=0.0, received=0.0, started=0.0),
    ]
    workers = crew(worker("w1", "fair", "a"), worker("w2", "fair", "b"))

    a, b = (figures_of(record) for record in records(groups(attempts, workers), attempts, workers, until=100.0))

    assert (a.makespan_s, a.workers[0].utilisation) == (1.0, 1.0)
    assert (b.makespan_s, b.ideal_s, b.workers[0].busy_s) == (100.0, 100.0, 100.0)


@pytest.mark.parametrize(
    ("modes", "expected"), [(("fair", "fair"), {"fair": 1}), (("fair", "round-robin"), {"fair": 0, "round-robin": 0})]
)
def test_message_that_no_worker_has_is_of_the_only_mode_of_its_queue(
    modes: tuple[str, str], expected: dict[str, int]
) -> None:
    """And of none, where nobody can tell who will take it."""
    workers = crew(*(worker(f"w{place}", mode) for place, mode in enumerate(modes)))

    found = groups([Attempt(task_id="t", state="sent", queue="q", sent=1.0)], workers)

    assert {group.dispatch: len(group.attempts) for group in found} == expected


def test_attempt_whose_queue_nobody_told_is_of_the_only_one_of_its_worker() -> None:
    """Producers do not tell what they send unless they were told to."""
    workers = crew(worker("one", "fair", "q"), worker("two", None, "a", "b"))

    found = groups([done("t", "one", 0.0, 0.0, 1.0, queue=None), done("u", "two", 0.0, 0.0, 1.0, queue=None)], workers)

    assert [group.name for group in found] == ["q · fair", "queue not known · mode not known"]


def test_standing_counts_slots_held_and_work_of_each_worker() -> None:
    """A worker that is gone has its slots with it."""
    attempts = [
        done("t", "w1", 0.0, 1.0, 3.0),
        Attempt(task_id="u", state="started", queue="q", worker="w1", received=3.0, started=4.0),
        Attempt(task_id="v", state="received", queue="q", worker="w1", received=3.0),
        Attempt(task_id="w", state="lost", queue="q", worker="gone", received=3.0, started=3.0),
    ]
    workers = crew(worker("w1", "fair", slots=2), worker("gone", "fair"))
    (group,) = groups(attempts, workers)

    told = group_status(group, workers, lambda name: name != "gone", now=10.0)

    assert (told.slots, told.busy_slots, told.held, told.tasks, told.busy_s) == (2, 1, 1, 3, 8.0)
    assert [(one.name, one.alive, one.busy_slots, one.held) for one in told.workers] == [
        ("gone", False, 0, 0),
        ("w1", True, 1, 1),
    ]
