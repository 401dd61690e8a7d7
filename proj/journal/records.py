"""What a journal keeps beside attempts: runs, workers, samples of queue depths, and gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of a run."""

    #: Unique in its journal, such as "fair-odd-heavy-1".
    name: str
    #: round-robin, fair, adaptive, or None when nobody said.
    dispatch: str | None
    #: Seconds since the epoch; `ended` is None while it lasts.
    began: float
    ended: float | None = None
    #: How it was made: workload, seed, workers, slots, dot_seconds, repeat; JSON types only.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Where: host, platform, processors, memory, versions of Python, Celery, kombu and RabbitMQ; JSON types only.
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Events that are known not to have reached the journal."""

    #: Seconds since the epoch between which they were lost, as far as known.
    began: float
    ended: float
    #: How many, when it is known.
    events: int | None
    #: One sentence for people.
    reason: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the broker said of one queue."""

    #: Seconds since the epoch.
    time: float
    queue: str
    ready: int
    #: None when the broker could not be asked.
    unacknowledged: int | None
    consumers: int


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
