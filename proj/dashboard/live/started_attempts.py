"""Started attempts: collects each attempt that starts, and gives it on once with its waits."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proj.dashboard.live.groups import groups, records
from proj.dashboard.live.now.slots import HARMLESS_S
from proj.dashboard.live.status import StartedAttempt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.dashboard.live.state import State
    from proj.journal.attempt import Attempt
    from proj.metrics.intervals import Interval

#: Attempts that may wait to be given on; far more than start between two calls.
MOST_STARTED = 50_000


class StartedAttempts:
    """The attempts that have started since they were last given on."""

    def __init__(self) -> None:
        """Begin with none."""
        self._started: deque[tuple[str, Attempt]] = deque(maxlen=MOST_STARTED)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._started)

    def add(self, started: Iterable[tuple[str, Attempt]]) -> None:
        """Add attempts that have just started, with the ids of their tasks."""
        self._started.extend(started)

    def clear(self) -> None:
        """Drop all."""
        self._started.clear()

    def take_all(self, state: State, now: float) -> list[StartedAttempt]:
        """All of them with their waits.

        A wait in a worker that is too short to be called one counts as 0 avoidable seconds, as on the page: at 2,000
        tasks a second the 5 ms of each would sum to ten seconds a second.
        The avoidable wait is None for an attempt that the history has already evicted.
        """
        waiting = {(task_id, one.worker, one.started): one for task_id, one in self._started}
        self._started.clear()
        attempts = [attempt for _, task in state.history for attempt in task.attempts]
        workers = {worker.name: worker for worker in state.workers.at(now)}
        found = groups(attempts, workers)
        taken: list[StartedAttempt] = []
        for group, record in zip(
            found, records(found, attempts, workers, until=now, gaps=state.gaps_until(now)), strict=True
        ):
            for span, avoidable in zip(record.spans, record.avoidable, strict=True):
                one = span.attempt
                if waiting.pop((one.task_id, one.worker, one.started), None) is None or one.worker is None:
                    continue
                held_s = None if one.received is None else _seconds(span.held)
                harmless = held_s is not None and held_s < HARMLESS_S
                taken.append(
                    StartedAttempt(
                        queue=group.queue,
                        worker=one.worker,
                        dispatch=group.dispatch,
                        broker_wait_s=_seconds(span.waiting),
                        held_s=held_s,
                        avoidable_wait_s=None if one.received is None else 0.0 if harmless else avoidable,
                    )
                )
        taken += [_evicted(one, state) for one in waiting.values() if one.worker is not None]
        return taken


def _evicted(attempt: Attempt, state: State) -> StartedAttempt:
    """The waits that the attempt alone shows; the slots that were free meanwhile are not known any more."""
    worker = state.workers.get(attempt.worker)
    due = attempt.eta or 0.0
    received, started = attempt.received, attempt.started
    return StartedAttempt(
        queue=attempt.queue,
        worker=attempt.worker or "",
        dispatch=worker.dispatch if worker is not None else None,
        broker_wait_s=(
            max(0.0, received - max(due, attempt.sent)) if received is not None and attempt.sent is not None else None
        ),
        held_s=max(0.0, started - max(due, received)) if started is not None and received is not None else None,
        avoidable_wait_s=None,
    )


def _seconds(interval: Interval | None) -> float | None:
    return None if interval is None else interval[1] - interval[0]
