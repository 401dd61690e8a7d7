"""A worker, as it reported itself and as its events tell of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker of a journal."""

    #: Its node name, such as "fair-1@host".
    name: str
    #: Tasks it can do at a time; None when nobody asked it.
    slots: int | None = None
    queues: tuple[str, ...] = ()
    #: round-robin, fair, adaptive or other, as its settings say; None when nobody asked it.
    dispatch: str | None = None
    #: Seconds that its clock is ahead of the recorder's (negative: behind), less the shortest way that an event took:
    #: the greatest `timestamp - heard` of its heartbeats; None when none came.
    skew_s: float | None = None
    #: Task starts it counted itself (the heartbeat's `processed`), and those whose events reached us.
    processed: int | None = None
    started_seen: int = 0

    @property
    def missing_events(self) -> int:
        """Starts that are known to have happened and of which no event reached us."""
        return max(0, (self.processed or 0) - self.started_seen)
