"""Started between: the attempts that a worker started between two times, which are those of a bar of a timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proj.journal.attempt import Attempt

#: Seconds by which the times of a bar are rounded, twice.
ROUNDED_S = 0.0015


@dataclass(frozen=True, kw_only=True)
class StartedBetween:
    """What to look for."""

    worker: str
    #: In seconds since the epoch.
    since: float
    until: float

    #: No index finds it.
    has_id = False

    def matches(self, attempt: Attempt) -> bool:
        """Whether the attempt is one of them; where no start was reported, it is the end minus the run time."""
        started = attempt.started
        if started is None and attempt.finished is not None and attempt.runtime_s is not None:
            started = attempt.finished - attempt.runtime_s
        if started is None or attempt.worker != self.worker:
            return False
        return self.since - ROUNDED_S <= started <= self.until + ROUNDED_S

    def condition(self) -> tuple[str, list[object]]:
        """The same as a condition of SQL, with its parameters."""
        condition = "(worker = ? AND coalesce(started, finished - runtime_s) BETWEEN ? AND ?)"
        return condition, [self.worker, self.since - ROUNDED_S, self.until + ROUNDED_S]
