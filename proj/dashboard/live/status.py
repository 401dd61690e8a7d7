"""Standings: how groups, queues and events stand at one time, as the page and /metrics tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkerStanding:
    """One worker of a group."""

    name: str
    #: None when nobody knows.
    slots: int | None
    busy_slots: int
    #: Attempts that it received and did not start.
    held: int
    #: Attempts that it started, of those in memory, and seconds inside them.
    tasks: int
    busy_s: float
    #: Whether it was heard of lately; None when it never sent a heartbeat.
    alive: bool | None


@dataclass(frozen=True, kw_only=True)
class GroupStanding:
    """The workers of one queue that dispatch alike."""

    #: Such as "task_queue · fair".
    name: str
    queue: str | None
    #: round-robin, fair, adaptive or other; None when nobody knows.
    dispatch: str | None
    workers: tuple[WorkerStanding, ...]
    #: Of its workers together; slots of those that told.
    slots: int
    busy_slots: int
    held: int
    tasks: int
    busy_s: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """How many messages the broker gives some consumers ahead."""

    #: 0 when there is no limit, None when it is not known.
    window: int | None
    consumers: int
    #: Whether they acknowledge what they are given.
    acknowledges: bool


@dataclass(frozen=True, kw_only=True)
class BrokerCount:
    """What the broker says of one queue."""

    ready: int
    #: None when it cannot be asked.
    unacknowledged: int | None
    consumers: int
    windows: tuple[Window, ...]
    #: Seconds since it was asked.
    age_s: float


@dataclass(frozen=True, kw_only=True)
class EventCount:
    """What events say of one queue: sent and not received; received and, as far as they tell, not acknowledged."""

    ready: int
    unacknowledged: int


@dataclass(frozen=True, kw_only=True)
class QueueStanding:
    """One queue: what the broker says beside what events say."""

    queue: str
    #: quorum, classic or stream; None when the broker cannot be asked.
    type: str | None
    broker: BrokerCount | None
    events: EventCount
    #: One sentence on why the two differ; None when they agree.
    explanation: str | None


@dataclass(frozen=True, kw_only=True)
class LostEvents:
    """Starts that a worker counted and of which no event came."""

    worker: str
    lost: int


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """What became of events."""

    #: Heard since the dashboard started; refused before they were heard; and given up because there were too many.
    heard: int
    refused: int
    dropped: int
    #: Known to have been sent and not to have come.
    lost: int
    lost_by_worker: tuple[LostEvents, ...]


@dataclass(frozen=True, kw_only=True)
class Readings:
    """All that /metrics tells."""

    groups: tuple[GroupStanding, ...]
    queues: tuple[QueueStanding, ...]
    events: EventCounts


@dataclass(frozen=True, kw_only=True)
class Settled:
    """An attempt that has started, so that its waits are known; None where one is not."""

    queue: str | None
    worker: str
    dispatch: str | None
    broker_wait_s: float | None
    held_s: float | None
    avoidable_wait_s: float | None
