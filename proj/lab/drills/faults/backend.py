"""Faults of the result backend: it refuses every result for a while, or takes a second for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proj.lab.drills.system.backend import SLOW_S, switch
from proj.lab.drills.system.evidence import FINISHED
from proj.lab.drills.system.strike import NotStruck

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest

#: Seconds for which the backend is away, and slow: longer than a task waits before it is given back.
AWAY_S, SLOWED_S = 8.0, 6.0


def leave(system: SystemUnderTest) -> str:
    """Refuse all results: what has not run is given back, and what ran is recorded later. No task is hit.

    Raises:
        NotStruck: no task was given back, or one has ended meanwhile that had not begun.
    """
    through = _ended_during(system, "away", after_s=1.0, seconds=AWAY_S)
    given_back = sum(worker.process.log_text().count("was not run and goes back") for worker in system.workers)
    if not given_back or through:
        raise NotStruck(f"{given_back} tasks were given back, and {through} ended while the backend was away.")
    system.wait_for_work()
    _refuse_lost_results(system)
    return f"away for {AWAY_S + 1:g} s, {given_back} tasks given back without having run"


def slow_down(system: SystemUnderTest) -> str:
    """Let each result take a second: the slots wait, and nothing else happens.

    Raises:
        NotStruck: tasks ended as fast as before.
    """
    through = _ended_during(system, "slow", after_s=SLOW_S, seconds=SLOWED_S)
    # Each task stores that it has started, and its result.
    most = system.all_slots * (SLOWED_S / SLOW_S)
    if through > most:
        raise NotStruck(f"{through} tasks ended in {SLOWED_S:g} s.")
    system.wait_for_work()
    _refuse_lost_results(system)
    return f"each result took {SLOW_S:g} s more for {SLOWED_S:g} s, in which {through} tasks ended"


def _ended_during(system: SystemUnderTest, trouble: str, *, after_s: float, seconds: float) -> int:
    """How many tasks end in these seconds of the backend's trouble, after those that ran when it began."""
    switched = switch(system.evidence.path, trouble)
    switched.touch()
    try:
        system.pause(after_s)
        done = system.count(FINISHED)
        system.pause(seconds)
        return system.count(FINISHED) - done
    finally:
        switched.unlink()


def _refuse_lost_results(system: SystemUnderTest) -> None:
    """Check that the result of each task that ended before the fault, or during it, is there.

    Raises:
        DeadlinePassed: one is not.
    """
    ended = system.finished()
    folder = system.evidence.path.with_suffix(".results")

    def are_there() -> bool:
        paths = [folder / f"celery-task-meta-{task_id}" for task_id in ended]
        return all(path.exists() and json.loads(path.read_text())["status"] == "SUCCESS" for path in paths)

    system.wait(are_there, what="the results of all tasks", timeout_s=20.0)
