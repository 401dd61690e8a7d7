"""Recent: counts what happens to tasks as their events come, and keeps the attempts that workers have now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.dashboard.live.now.tally import QueueKey, Tally, step_of
from proj.journal.attempt import LOST, OPEN, RETURNED
from proj.journal.event import RETRIED, SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt

#: Attempts that are kept; far more than workers have, unless a prefetch is unlimited. The oldest are dropped first.
MOST_ATTEMPTS = 50_000
#: Seconds for which an attempt from a journal counts as open without a further event.
RESTORED_S = 600.0
_FAILED = frozenset({"failed", "rejected"})
_SUPERSEDED = frozenset({LOST, RETURNED})


class Recent:
    """The attempts that workers have, and those that ended since the last tally; with counts since then.

    Counts are of the events that came since the last tally, so the clocks of other machines do not matter.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.counted = Tally(0.0, 0.0)
        #: When the last event of a task of a queue was counted, by the clock of the events' receipt.
        self.active: dict[QueueKey, float] = {}
        #: Attempts from a journal that were open, and until when they are kept without a further event: their ends may
        #: have come while the dashboard was not running.
        self._restored: dict[tuple[str, int], Attempt] = {}
        self._restored_until = 0.0

    def update(self, before: Sequence[Attempt], after: Sequence[Attempt], heard: float) -> None:
        """Count what is new in the attempts of one task."""
        for number, attempt in enumerate(after):
            old = before[number] if number < len(before) else None
            if old is not attempt:
                self._count(old, attempt, heard)
                self.keep(number, attempt)
        # Where events came in another order there may be fewer attempts than before.
        for number in range(len(after), len(before)):
            self.attempts.pop((before[number].task_id, number), None)

    def keep(self, number: int, attempt: Attempt) -> None:
        """Keep an attempt without counting it."""
        if attempt.worker is None or attempt.state in _SUPERSEDED:
            self.attempts.pop((attempt.task_id, number), None)
            return
        self.attempts[attempt.task_id, number] = attempt
        if len(self.attempts) > MOST_ATTEMPTS:
            del self.attempts[next(iter(self.attempts))]

    def restore(self, attempts: Sequence[Attempt], now: float) -> None:
        """Keep those attempts of a task from a journal that have not ended."""
        self._restored_until = now + RESTORED_S
        for number, attempt in enumerate(attempts):
            if attempt.state in OPEN:
                self.keep(number, attempt)
                self._restored[attempt.task_id, number] = attempt

    def forget_ended(self, before: float) -> None:
        """Forget the attempts that ended before a time."""
        if self._restored and before > self._restored_until:
            for key, one in self._restored.items():
                if self.attempts.get(key) is one:
                    del self.attempts[key]
            self._restored.clear()
        ended = [key for key, one in self.attempts.items() if one.finished is not None and one.finished <= before]
        for key in ended:
            del self.attempts[key]

    def take_counted(self, began: float, ended: float) -> Tally:
        """The counts since the last call, as a tally of that time."""
        counted, self.counted = self.counted, Tally(began, ended)
        counted.began, counted.ended = began, ended
        return counted

    def _count(self, old: Attempt | None, new: Attempt, heard: float) -> None:
        if old is None:
            count_arrival(self.counted, new)
        if new.worker is None:
            return
        self.active[key_of(new)] = heard
        if new.started is not None and (old is None or old.started is None):
            count_start(self.counted, new)
        if new.finished is not None and (old is None or old.finished is None):
            count_end(self.counted, new)


def key_of(attempt: Attempt) -> QueueKey:
    """The key of its queue."""
    return QueueKey(attempt.queue) if attempt.queue is not None else QueueKey(None, attempt.worker)


def count_arrival(tally: Tally, attempt: Attempt) -> None:
    """Count its publish, unless it is another delivery; a retry is published again."""
    if not attempt.redelivered:
        queue = tally.queues[key_of(attempt)]
        queue.arrivals += 1
        queue.unannounced += attempt.sent is None


def count_start(tally: Tally, attempt: Attempt) -> None:
    """Count its start and its waits."""
    queue, due, started = tally.queues[key_of(attempt)], attempt.eta or 0.0, attempt.started or 0.0
    queue.started += 1
    tally.workers[attempt.worker or ""].started += 1
    if attempt.sent is not None:
        queue.waits[step_of(started - max(due, attempt.sent))] += 1
    if attempt.received is not None:
        queue.held_waits[step_of(started - max(due, attempt.received))] += 1


def count_end(tally: Tally, attempt: Attempt) -> None:
    """Count its end."""
    queue, worker = tally.queues[key_of(attempt)], tally.workers[attempt.worker or ""]
    if attempt.state == SUCCEEDED:
        queue.done += 1
        worker.done += 1
    elif attempt.state in _FAILED:
        queue.failed += 1
        worker.failed += 1
    elif attempt.state == RETRIED:
        queue.retried += 1
