"""Makespan, ideal and work, on attempts that are computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proj import metrics
from proj.journal.attempt import Attempt


def done(worker: str, *, sent: float, started: float, runtime_s: float) -> Attempt:
    return Attempt(
        task_id=f"{worker}-{started}",
        state="succeeded",
        worker=worker,
        sent=sent,
        received=started,
        started=started,
        finished=started + runtime_s,
        runtime_s=runtime_s,
    )


#: Two workers, three tasks of 4, 1 and 1 seconds, sent at 10.0: the first worker is busy for 4, the other for 2.
THREE = (
    done("w1", sent=10.0, started=10.0, runtime_s=4.0),
    done("w2", sent=10.0, started=10.5, runtime_s=1.0),
    done("w2", sent=10.1, started=11.5, runtime_s=1.0),
)


def test_makespan_is_from_the_first_publish_to_the_last_finish() -> None:
    """The first publish is at 10.0, the last finish at 14.0."""
    assert metrics.makespan_s(THREE) == 4.0


def test_makespan_begins_with_the_first_task_where_only_some_producers_tell_of_the_publish() -> None:
    """The work before the first known publish counts, too."""
    untold = done("w3", sent=0.0, started=5.0, runtime_s=1.0)

    assert metrics.makespan_s([*THREE, replace(untold, sent=None)]) == 9.0


def test_ideal_is_bounded_by_the_longest_task() -> None:
    """All work takes 3 s on two slots, but one task alone takes 4 s."""
    assert metrics.ideal_s(THREE, slots=2) == 4.0


def test_ideal_is_bounded_by_all_work_on_all_slots() -> None:
    """Six seconds of work take 6 s on one slot."""
    assert metrics.ideal_s(THREE, slots=1) == 6.0


def test_tasks_and_busy_seconds_are_counted_for_idle_workers_too() -> None:
    """A worker without tasks has 0 tasks and 0 s."""
    workers = ["w1", "w2", "w3"]

    assert metrics.tasks_by_worker(THREE, workers) == {"w1": 1, "w2": 2, "w3": 0}
    assert metrics.busy_s_by_worker(THREE, workers) == {"w1": 4.0, "w2": 2.0, "w3": 0.0}


def test_longest_wait_is_between_publish_and_start() -> None:
    """The third task waits from 10.1 to 11.5."""
    assert metrics.longest_wait_s(THREE) == pytest.approx(1.4)


def test_wait_is_never_negative() -> None:
    """The timestamp of a start can be earlier than that of the sent event."""
    assert metrics.longest_wait_s([done("w1", sent=10.0, started=9.9, runtime_s=1.0)]) == 0.0


def test_figures_of_no_attempts_are_zero() -> None:
    """No attempts, or none that has finished, is no error."""
    waiting = Attempt(task_id="t", state="sent", sent=1.0)

    assert metrics.makespan_s([]) == metrics.makespan_s([waiting]) == 0.0
    assert metrics.ideal_s([waiting], slots=2) == 0.0
    assert metrics.longest_wait_s([waiting]) == 0.0
