"""Status: groups, queues and events at one moment, as the page and /metrics show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.queue_depths import Depth


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """One worker of a group."""

    name: str
    #: None when it is not known.
    slots: int | None
    busy_slots: int
    #: Attempts that it received and did not start.
    held: int
    #: Attempts in memory that it started, and the seconds that they ran.
    tasks: int
    busy_s: float
    #: Whether its heartbeats still come; None when it never sent one.
    alive: bool | None
    #: In adaptive dispatch, by its last heartbeat; None in other modes. `window` is how many messages it asks for at a
    #: time, and `in_advance` how many it has and has not given to its pool, of all its queues; both None when it is
    #: gone, or the run is over. `given_back` counts since its start.
    window: int | None = None
    in_advance: int | None = None
    given_back: int | None = None


@dataclass(frozen=True, kw_only=True)
class GroupStatus:
    """The workers of one queue that have the same dispatch mode."""

    #: Such as "task_queue · fair".
    name: str
    queue: str | None
    #: round-robin, fair, adaptive or other; None when it is not known.
    dispatch: str | None
    workers: tuple[WorkerStatus, ...]
    #: Sums over its workers; slots only of those that reported them.
    slots: int
    busy_slots: int
    held: int
    tasks: int
    busy_s: float
    in_advance: int = 0


@dataclass(frozen=True, kw_only=True)
class PrefetchWindow:
    """How many unacknowledged messages of a queue the broker gives over each of some channels."""

    #: That of the channel, or of all its consumers together; 0 when there is no limit, None when it is not known.
    window: int | None
    #: Each worker has one channel, and in adaptive dispatch several consumers of a queue on it.
    channels: int
    consumers: int
    #: Whether these consumers acknowledge messages.
    acknowledges: bool


@dataclass(frozen=True, kw_only=True)
class BrokerCount:
    """The broker's counts of one queue."""

    ready: int
    #: None when the management API cannot be asked.
    unacknowledged: int | None
    consumers: int
    windows: tuple[PrefetchWindow, ...]
    #: Seconds since the broker was asked.
    age_s: float


@dataclass(frozen=True, kw_only=True)
class EventCount:
    """The counts of one queue by events.

    `ready` was sent and not received; `unacknowledged` was received and, as far as events show, not acknowledged.
    """

    ready: int
    unacknowledged: int


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """One queue: the broker's counts beside those of events."""

    queue: str
    #: quorum, classic or stream; None when the management API cannot be asked.
    type: str | None
    broker: BrokerCount | None
    events: EventCount
    #: One sentence on why the two differ; None when they agree.
    explanation: str | None


@dataclass(frozen=True, kw_only=True)
class LostEvents:
    """Starts that a worker counted and for which no event came."""

    worker: str
    lost: int


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """How many events came, and how many did not count."""

    #: Received since the dashboard started; refused by the filter; dropped because there were too many.
    heard: int
    refused: int
    dropped: int
    #: Known to have been sent, and never received.
    lost: int
    lost_by_worker: tuple[LostEvents, ...]


#: Before the first event.
NO_EVENTS = EventCounts(heard=0, refused=0, dropped=0, lost=0, lost_by_worker=())


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Everything that /metrics shows."""

    groups: tuple[GroupStatus, ...]
    queues: tuple[QueueStatus, ...]
    events: EventCounts
    #: All queues of the broker by name, as it counted them last.
    depths: Mapping[str, Depth] = field(default_factory=dict)
    #: The workers that are alive and say that they consume each queue.
    consuming: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Seconds that the oldest task of each queue waits.
    oldest_s: Mapping[str | None, float] = field(default_factory=dict)
    #: Results that each worker could not store since it was first heard.
    results_lost: Mapping[str, int] = field(default_factory=dict)
    #: The app's queue of dead letters.
    dead_letters: str = DEAD_LETTERS
    #: Whether the broker answers; None before the first answer.
    broker_answers: bool | None = None
    #: Whether it has an alarm of its memory or its disk, and accepts no message; None when that is not known.
    broker_alarm: bool | None = None


#: Before the first scrape.
NO_READINGS = Readings(groups=(), queues=(), events=NO_EVENTS)


@dataclass(frozen=True, kw_only=True)
class StartedAttempt:
    """An attempt that has started, with its waits; None for a wait that is not known."""

    queue: str | None
    worker: str
    dispatch: str | None
    broker_wait_s: float | None
    held_s: float | None
    avoidable_wait_s: float | None
