"""Work: the makespan, the least makespan possible, and the seconds of work of attempts and workers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from proj.metrics.span import SUPERSEDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt


def makespan_s(attempts: Iterable[Attempt], *, until: float | None = None) -> float:
    """Seconds from the first publish to the last finish; 0.0 if nothing has finished.

    With `until`, the time now in seconds since the epoch, a run that goes on counts up to it. The publish is by the
    producer's clock, the finish by the worker's. Celery sends `task-sent` events only with `task_send_sent_event`. A
    task without one begins at its receipt or start, so that the work of a producer which does not send them counts too.

    Source: C_max, measured from the first release date: R. L. Graham, E. L. Lawler, J. K. Lenstra and
    A. H. G. Rinnooy Kan, Optimization and Approximation in Deterministic Sequencing and Scheduling: a Survey (1979).
    """
    attempts = tuple(attempts)
    begun = [time for attempt in attempts if (time := _first_time(attempt)) is not None]
    finished = [
        attempt.finished for attempt in attempts if attempt.finished is not None and attempt.state not in SUPERSEDED
    ]
    if until is not None:
        finished.append(until)
    return max(0.0, max(finished) - min(begun)) if begun and finished else 0.0


def _first_time(attempt: Attempt) -> float | None:
    return next((time for time in (attempt.sent, attempt.received, attempt.started) if time is not None), None)


def ideal_s(attempts: Iterable[Attempt], *, slots: int, until: float | None = None) -> float:
    """The least makespan in seconds that any dispatcher could reach: max(total work / slots, longest attempt).

    It assumes that all work is there at the first publish. If work is published over time or has an ETA, the makespan
    also contains time in which there was nothing to do. Attempts that were lost are not counted. With `until`, the time
    now in seconds since the epoch, an attempt that runs counts with its seconds so far.

    Source: the two lower bounds in R. L. Graham, Bounds on Multiprocessing Timing Anomalies (1969).
    """
    seconds = [_work_so_far_s(attempt, until) for attempt in attempts]
    return max(sum(seconds) / max(1, slots), max(seconds, default=0.0))


def work_s(attempt: Attempt) -> float | None:
    """Seconds of work of an attempt; None if it has not ended, or was lost or returned.

    It is the `runtime` of the `task-succeeded` event, by the clock of the pool process. Other ends have no run time;
    then it is the time from the start to the finish, by the worker's clock.
    """
    if attempt.runtime_s is not None:
        return attempt.runtime_s
    if attempt.started is None or attempt.finished is None or attempt.state in SUPERSEDED:
        return None
    return max(0.0, attempt.finished - attempt.started)


def _work_so_far_s(attempt: Attempt, until: float | None) -> float:
    if until is not None and attempt.running and attempt.started is not None:
        return max(0.0, until - attempt.started)
    return work_s(attempt) or 0.0


def tasks_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, int]:
    """The number of attempts of each of `workers` that succeeded."""
    counts = Counter(attempt.worker for attempt in attempts if attempt.succeeded)
    return {worker: counts[worker] for worker in workers}


def busy_s_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, float]:
    """The seconds of work (`work_s`) of each of `workers`; 0.0 for one that did nothing."""
    busy = dict.fromkeys(workers, 0.0)
    for attempt in attempts:
        if attempt.worker in busy:
            busy[attempt.worker] += work_s(attempt) or 0.0
    return busy
