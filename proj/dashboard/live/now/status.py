"""Status of now: the JSON of `/dispatch/now`, whose fields are those of these classes under the same names.

Rates are a second and of the window, unless they say otherwise. Times are in seconds since the epoch, durations in
seconds. A value is null when it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proj.dashboard.live.status import EventCounts

FORMAT = "proj-now"
VERSION = 1
#: The windows that can be asked for, in seconds; None is everything that is known.
WINDOWS: tuple[int | None, ...] = (60, 300, 900, 3600, None)
#: Points of a series.
POINTS = 30

#: Levels of a sentence, the gravest first.
BAD, WARNING, UNKNOWN, OK = "bad", "warning", "unknown", "ok"
LEVELS = (BAD, WARNING, UNKNOWN, OK)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence on what is so, with the names to blame."""

    #: bad, warning, unknown or ok.
    level: str
    #: Such as "unfair"; the list is in docs/dashboard.md.
    kind: str
    text: str
    queues: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Share:
    """A worker's part of a wait."""

    worker: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """A short series for a sparkline: `POINTS` values over the window, the last one is of now."""

    ready: tuple[int | None, ...] = ()
    unacknowledged: tuple[int | None, ...] = ()
    #: Rates.
    arrivals: tuple[float, ...] = ()
    done: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QueueNow:
    """One queue."""

    #: None for the tasks whose queue is not known; then `unknown_why` says what would make it known.
    name: str | None
    #: The gravest level of the sentences that name it, and their kinds.
    level: str = OK
    problems: tuple[str, ...] = ()
    #: quorum, classic or stream.
    type: str | None = None
    #: Tasks published a second. Where no `task-sent` event comes, what was begun and what the queue grew by.
    arrivals_per_s: float = 0.0
    #: Whether arrivals are counted from `task-sent` events.
    arrivals_counted: bool = False
    started_per_s: float = 0.0
    done_per_s: float = 0.0
    #: Failed or rejected; and tried again later.
    failed_per_s: float = 0.0
    retried_per_s: float = 0.0
    #: Counts in the window.
    arrivals: int = 0
    started: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    #: By the broker.
    ready: int | None = None
    unacknowledged: int | None = None
    consumers: int | None = None
    #: Whether someone has paused it (`queues pause`).
    paused: bool = False
    #: By how much ready and unacknowledged together grew, a second; negative when they became fewer.
    growth_per_s: float | None = None
    #: Seconds until it is empty at this rate: 0 when it is, None when it does not become fewer.
    empty_in_s: float | None = None
    series: Series = Series()
    #: Seconds from the publish (or ETA) to the start of the tasks that started in the window, within 5 %; None without
    #: any. Where no `task-sent` event comes, from the receipt, and `waits_from` is "receipt" instead of "publish".
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    wait_p99_s: float | None = None
    waits_from: str | None = None
    #: Seconds a minute that tasks were held by a worker while another worker of the queue was idle (it had a free slot
    #: and held nothing). What waits for less than `HARMLESS_S` is not counted. `held_by` are the workers that held
    #: them, `idle` those that were idle meanwhile, with seconds in the window, most first.
    avoidable_s_per_min: float = 0.0
    avoidable_s: float = 0.0
    held_by: tuple[Share, ...] = ()
    idle: tuple[Share, ...] = ()
    #: Tasks that wait inside workers now, and those of them that wait while another worker is idle.
    held: int = 0
    held_avoidably: int = 0
    #: Its workers that are idle now.
    free: tuple[str, ...] = ()
    #: Slots of the workers that consume it; busy ones now, with whatever queue's task; and with a task of this queue.
    slots: int = 0
    busy_slots: int = 0
    running: int = 0
    #: Busy seconds of these slots in the window, of all their seconds: from 0 to 1.
    utilisation: float | None = None
    #: Seconds since the publish (else the receipt) of the task that waits longest and is due, by events.
    oldest_s: float | None = None
    #: Seconds since a task of it was received or started.
    quiet_s: float | None = None
    #: Names of the workers that consume it and are not gone.
    workers: tuple[str, ...] = ()
    #: Tasks that were lost in the window, because a worker had acknowledged them before it was gone.
    lost: int = 0
    #: Dead letters that its workers made in the window, and those that still wait, as far as workers counted them:
    #: at most so many, unless `letters_exact`. None where no worker of the queue counts its letters.
    letters_new: int | None = None
    letters_waiting: int | None = None
    letters_exact: bool = True
    #: Starts of its workers for which no event came, in the window. A worker of several queues counts with each.
    missing_events: int = 0
    #: Whether the app, one of its workers or an event of a task names it; others are of somebody else.
    is_ours: bool = True
    #: How the queue of its tasks is known: sent (events of producers), received (events of workers with
    #: `proj.delivery`), route (`task_routes` of the app), worker (which consumes no other); None without tasks, and
    #: where it is not known.
    known_by: str | None = None
    unknown_why: str | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerNow:
    """One worker, with all its queues."""

    name: str
    #: alive; silent (no heartbeat for three intervals); draining (it said less than five minutes ago that it ends, and
    #: still runs tasks); gone (it said so, or was silent for a minute; with the pool solo for an hour); unknown (it
    #: never sent one).
    state: str
    level: str = OK
    problems: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    dispatch: str | None = None
    slots: int | None = None
    #: Tasks that it runs now, and tasks that it has received and not started.
    busy_slots: int = 0
    held: int = 0
    #: Busy seconds in the window, of all the seconds of its slots: from 0 to 1.
    busy_share: float | None = None
    started_per_s: float = 0.0
    done_per_s: float = 0.0
    #: Counts in the window.
    started: int = 0
    done: int = 0
    failed: int = 0
    #: Tasks that were lost with it in the window.
    lost: int = 0
    #: Seconds in the window that tasks waited in it while another worker had a free slot.
    avoidable_s: float = 0.0
    #: The most resident memory that its main process had had at its last answer.
    memory_bytes: int | None = None
    heartbeat_age_s: float | None = None
    #: Whether its pool is `solo`: it sends no heartbeat while it runs a task.
    solo: bool = False
    #: Whether it said that it ends, or was gone before the dashboard started.
    goodbye: bool = False
    #: Starts for which no event came, in the window.
    missing_events: int = 0
    #: In adaptive dispatch: messages that it asks for at a time, has in advance, and gave back since it began.
    window: int | None = None
    in_advance: int | None = None
    given_back: int | None = None
    #: Tasks that it had when it was gone, by events, and that are not ended or given to another worker since.
    left: int = 0


@dataclass(frozen=True, kw_only=True)
class DeadLetters:
    """The app's queue of dead letters, by the broker."""

    queue: str
    waiting: int | None = None
    #: By how many they became more in the window; letters that were taken out hide new ones.
    new: int = 0
    #: How many of those that wait no worker has counted, at least: the queue that they came from is not known.
    unassigned: int = 0


@dataclass(frozen=True, kw_only=True)
class BrokerNow:
    """Whether the broker answers."""

    #: None before the first answer.
    answers: bool | None = None
    #: Since when it does not.
    away_since: float | None = None
    #: Until when it was away the last time.
    away_until: float | None = None
    #: Why its answers are not complete, in one sentence.
    doubt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over all queues and workers."""

    arrivals_per_s: float = 0.0
    done_per_s: float = 0.0
    failed_per_s: float = 0.0
    ready: int | None = None
    unacknowledged: int | None = None
    avoidable_s_per_min: float = 0.0
    slots: int = 0
    busy_slots: int = 0
    workers_alive: int = 0
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class NowStatus:
    """Everything that the page shows of now."""

    #: The time of the figures; of a journal that nobody writes, its end.
    as_of: float
    #: False for a recorded journal that nobody writes.
    live: bool
    #: The window that was asked for; None for everything that is known. And the seconds of it that are known.
    window_s: int | None
    known_s: float
    #: The gravest first; there is always one. And how many are left out.
    sentences: tuple[Sentence, ...]
    totals: Totals
    broker: BrokerNow
    dead_letters: DeadLetters | None
    #: The worst first. How many of each are left out of the lists.
    queues: tuple[QueueNow, ...]
    queues_left_out: int
    workers: tuple[WorkerNow, ...]
    workers_left_out: int
    events: EventCounts
    sentences_left_out: int = 0
