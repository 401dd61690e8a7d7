"""Records of a journal besides attempts: runs, workers, samples of queue depths, gaps, and what people did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: a stretch of work that is measured as a whole."""

    #: Unique in its journal, such as "fair-odd-heavy-1".
    name: str
    #: round-robin, fair or adaptive; None if it is not known.
    dispatch: str | None
    #: Seconds since the epoch; `ended` is None while the run goes on.
    began: float
    ended: float | None = None
    #: Workload, seed, workers, slots, dot_seconds, repeat and so on; JSON types only.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Host, platform, processors, memory, versions of Python, Celery, kombu and RabbitMQ; JSON types only.
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time for which events are known to be missing from the journal."""

    #: Seconds since the epoch: the missing events were sent between these two times, as far as known.
    began: float
    ended: float
    #: How many are missing; None if it is not known.
    events: int | None
    #: One sentence for the reports.
    reason: str


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a person did to queues, letters or workers."""

    #: Seconds since the epoch.
    time: float
    #: As `user@host`.
    who: str
    #: One of those in `proj.journal.actions`, such as "requeue".
    verb: str
    #: To which queues or workers, or which letters.
    what: str
    #: How many letters, or how many workers or queues followed.
    count: int

    def __str__(self) -> str:
        """For people, without the time."""
        return f"{self.who}: {self.verb} {self.what} ({self.count:,})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The depth of one queue at one time, as the broker counted it."""

    #: Seconds since the epoch.
    time: float
    queue: str
    ready: int
    #: None if the broker did not report it.
    unacknowledged: int | None
    consumers: int


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker."""

    #: Its node name, such as "fair-1@host".
    name: str
    #: Tasks that it can run at once; None if it has not reported it.
    slots: int | None = None
    queues: tuple[str, ...] = ()
    #: round-robin, fair, adaptive or other, from its settings; None if it has not reported them.
    dispatch: str | None = None
    #: Seconds by which its clock is ahead of the recorder's (negative: behind), minus the shortest transport time of an
    #: event: the greatest difference between the timestamp of a heartbeat and its receipt; None without heartbeats.
    skew_s: float | None = None
    #: Task starts that it counted itself, from the field `processed` of its heartbeats.
    processed: int | None = None
    #: Task starts whose `task-started` event came.
    started_seen: int = 0
    #: In adaptive dispatch, by its heartbeats; None in other modes: the most messages that it asked for at a time and
    #: the most that it held and had not given to its pool.
    window: int | None = None
    held: int | None = None
    #: The messages that it gave back to their queues since its first heartbeat came, also over restarts.
    given_back: int | None = None
    #: The dead letters that it made since its first heartbeat came, also over restarts: pairs of queue and number; None
    #: if its heartbeats do not count them.
    letters: tuple[tuple[str, int], ...] | None = None
    #: The names of its tasks that are acknowledged before they run; None if it has not reported them.
    early: tuple[str, ...] | None = None
    #: The most resident memory that its main process has had, in bytes, by its last answer; the journal does not keep
    #: it.
    memory_bytes: int | None = None
    #: Whether its pool is `solo`, by its last answer; the journal does not keep it.
    solo: bool = False

    @property
    def missing_events(self) -> int:
        """Task starts that the worker counted and whose event did not come."""
        return max(0, (self.processed or 0) - self.started_seen)
