"""Work: makespan, ideal, and what each worker did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from proj.metrics.span import BROKEN_OFF

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt


def makespan_s(attempts: Iterable[Attempt], *, until: float | None = None) -> float:
    """Seconds from the first publish to the last finish, or `until` now when it goes on; 0 when nothing has finished.

    The publish is by the producer's clock, the finish by the worker's. When no publish was heard of (Celery does not
    send `task-sent` unless told to), it begins with the first that a worker did.

    Source: the C_max of scheduling theory, Graham et al. (1979), measured from the first release.
    """
    attempts = tuple(attempts)
    begun = [attempt.sent for attempt in attempts if attempt.sent is not None] or [
        time for attempt in attempts for time in (attempt.received, attempt.started) if time is not None
    ]
    finished = [
        attempt.finished for attempt in attempts if attempt.finished is not None and attempt.state not in BROKEN_OFF
    ]
    if until is not None:
        finished.append(until)
    return max(0.0, max(finished) - min(begun)) if begun and finished else 0.0


def ideal_s(attempts: Iterable[Attempt], *, slots: int, until: float | None = None) -> float:
    """The least makespan that any dispatcher could reach: max(total work / slots, longest task).

    With `until`, which is now, what runs counts as the work that it has been so far.

    It takes all work to be there at the first publish: when work comes over time or has an eta, the makespan may
    exceed it by time in which there was nothing to do. Work that was lost is not part of it.

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies (1969): both are lower bounds.
    """
    seconds = [_work_so_far_s(attempt, until) for attempt in attempts]
    return max(sum(seconds) / max(1, slots), max(seconds, default=0.0))


def work_s(attempt: Attempt) -> float | None:
    """Seconds of work that it took; None as long as it has not ended by itself.

    By the pool process's own clock where its event says it (only success does), else from the start to the finish by
    the worker's clock.
    """
    if attempt.runtime_s is not None:
        return attempt.runtime_s
    if attempt.started is None or attempt.finished is None or attempt.state in BROKEN_OFF:
        return None
    return max(0.0, attempt.finished - attempt.started)


def _work_so_far_s(attempt: Attempt, until: float | None) -> float:
    if until is not None and attempt.running and attempt.started is not None:
        return max(0.0, until - attempt.started)
    return work_s(attempt) or 0.0


def tasks_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, int]:
    """How many tasks each of `workers` finished."""
    counts = Counter(attempt.worker for attempt in attempts if attempt.succeeded)
    return {worker: counts[worker] for worker in workers}


def busy_s_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, float]:
    """Seconds that each of `workers` spent inside tasks that ended there."""
    busy = dict.fromkeys(workers, 0.0)
    for attempt in attempts:
        if attempt.worker in busy:
            busy[attempt.worker] += work_s(attempt) or 0.0
    return busy
