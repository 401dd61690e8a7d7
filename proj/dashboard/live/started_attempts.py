"""Settling: each attempt is told of once, when it has started and its waits are known."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proj.dashboard.live.groups import groups, records
from proj.dashboard.live.status import Settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.dashboard.live.state import Scene
    from proj.journal.attempt import Attempt
    from proj.metrics.intervals import Interval

#: Attempts that wait to be told of; more than a second's is never needed.
MOST_STARTED = 50_000


class Settling:
    """The attempts that have started since they were last told of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._started: deque[tuple[str, Attempt]] = deque(maxlen=MOST_STARTED)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._started)

    def add(self, started: Iterable[tuple[str, Attempt]]) -> None:
        """Take attempts, with the ids of their tasks, that have just started."""
        self._started.extend(started)

    def clear(self) -> None:
        """Give all of them up."""
        self._started.clear()

    def settled(self, scene: Scene, now: float) -> list[Settled]:
        """All of them with their waits; what the history has forgotten already has only those that it tells itself."""
        waiting = {(task_id, one.worker, one.started): one for task_id, one in self._started}
        self._started.clear()
        attempts = [attempt for _, task in scene.history for attempt in task.attempts]
        workers = {worker.name: worker for worker in scene.crew.records(now)}
        found = groups(attempts, workers)
        told: list[Settled] = []
        for group, record in zip(found, records(found, attempts, workers, until=now), strict=True):
            for span, avoidable in zip(record.spans, record.avoidable, strict=True):
                one = span.attempt
                if waiting.pop((one.task_id, one.worker, one.started), None) is None or one.worker is None:
                    continue
                told.append(
                    Settled(
                        queue=group.queue,
                        worker=one.worker,
                        dispatch=group.dispatch,
                        broker_wait_s=_seconds(span.waiting),
                        held_s=None if one.received is None else _seconds(span.held),
                        avoidable_wait_s=None if one.received is None else avoidable,
                    )
                )
        told += [_forgotten(one, scene) for one in waiting.values() if one.worker is not None]
        return told


def _forgotten(attempt: Attempt, scene: Scene) -> Settled:
    """What an attempt tells by itself: nobody knows any more which slots were free meanwhile."""
    record = scene.crew.record(attempt.worker)
    due = attempt.eta or 0.0
    received, started = attempt.received, attempt.started
    return Settled(
        queue=attempt.queue,
        worker=attempt.worker or "",
        dispatch=record.dispatch if record is not None else None,
        broker_wait_s=(
            max(0.0, received - max(due, attempt.sent)) if received is not None and attempt.sent is not None else None
        ),
        held_s=max(0.0, started - max(due, received)) if started is not None and received is not None else None,
        avoidable_wait_s=None,
    )


def _seconds(interval: Interval | None) -> float | None:
    return None if interval is None else interval[1] - interval[0]
