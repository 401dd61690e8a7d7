"""Makespan, ideal, busy time and waits: pure functions of attempts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt


def makespan_s(attempts: Iterable[Attempt]) -> float:
    """Seconds from the first publish to the last finish; 0 when nothing has finished.

    Source: the C_max of scheduling theory, Graham et al. (1979), measured from the first release.
    """
    attempts = tuple(attempts)
    sent = [attempt.sent for attempt in attempts if attempt.sent is not None]
    finished = [attempt.finished for attempt in attempts if attempt.finished is not None]
    return max(finished) - min(sent) if sent and finished else 0.0


def ideal_s(attempts: Iterable[Attempt], *, slots: int) -> float:
    """The least makespan that any dispatcher could reach: max(total work / slots, longest task).

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies (1969): both are lower bounds.
    """
    runtimes = [_work_s(attempt) for attempt in attempts]
    return max(sum(runtimes) / slots, max(runtimes, default=0.0))


def tasks_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, int]:
    """How many tasks each of `workers` finished."""
    counts = Counter(attempt.worker for attempt in attempts if attempt.succeeded)
    return {worker: counts[worker] for worker in workers}


def busy_s_by_worker(attempts: Iterable[Attempt], workers: Sequence[str]) -> dict[str, float]:
    """Seconds that each of `workers` spent inside tasks it finished."""
    busy = dict.fromkeys(workers, 0.0)
    for attempt in attempts:
        if attempt.worker in busy:
            busy[attempt.worker] += _work_s(attempt)
    return busy


def longest_wait_s(attempts: Iterable[Attempt]) -> float:
    """The longest time between a publish and the start of its work; 0 when nothing has started.

    The sent event is published after the task itself, so a start can come first: that wait is 0.
    """
    waits = [
        attempt.started - attempt.sent
        for attempt in attempts
        if attempt.started is not None and attempt.sent is not None
    ]
    return max([0.0, *waits])


def _work_s(attempt: Attempt) -> float:
    return attempt.runtime_s or 0.0
