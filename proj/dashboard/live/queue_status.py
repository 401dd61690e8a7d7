"""Queue status: the broker's counts beside those of events, and contradictions between broker and workers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.dashboard.live.count_differences import QueueCounts, explain_difference
from proj.dashboard.live.early_losses import ended_with_worker
from proj.dashboard.live.groups import queue_of
from proj.dashboard.live.status import BrokerCount, EventCount, QueueStatus
from proj.journal.worker_info import ADAPTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.broker.queue_depths import Depth
    from proj.dashboard.live.broker_poll import BrokerState
    from proj.dashboard.live.history import History
    from proj.dashboard.live.status import PrefetchWindow
    from proj.dashboard.live.workers import Workers
    from proj.journal.attempt import Attempt

#: Queues that are shown. Anyone who can publish could name any number.
MOST_QUEUES = 50
#: Seconds without an event of a queue, after which a worker holds what its last heartbeat told.
QUIET_S = 5.0
#: Dispatch modes in which a worker acknowledges a message when it starts the task.
EARLY = frozenset({"round-robin"})
#: Dispatch modes in which a worker acknowledges a message when the task has ended.
LATE = frozenset({"fair", ADAPTIVE})


@dataclass
class _Consuming:
    """The workers that consume one queue."""

    #: The dispatch mode of each.
    modes: list[str | None] = field(default_factory=list)
    #: What the dispatchers of those in adaptive dispatch hold by their heartbeats, and what they may have come to hold
    #: since then.
    held: int = 0
    window: int = 0


@dataclass
class _EventTally:
    """The counts of one queue by events; see `QueueCounts`."""

    sent: int = 0
    held: int = 0
    running: int = 0
    delayed: int = 0
    orphaned: int = 0
    unannounced: bool = False
    #: When its last event was received.
    heard: float = 0.0


def queue_statuses(
    history: History, workers: Workers, broker: BrokerState, *, lost: int, now: float
) -> list[QueueStatus]:
    """The status of each queue that has tasks in memory or a worker that consumes it."""
    tallies = _tallies(history, workers, now)
    consuming: dict[str, _Consuming] = defaultdict(_Consuming)
    for worker in workers.at(now):
        if workers.is_alive(worker.name, now) is False:
            continue
        told = workers.adaptive(worker.name)
        for queue in worker.queues:
            consuming[queue].modes.append(worker.dispatch)
            if told is not None:
                consuming[queue].held += told.held
                consuming[queue].window += told.window
    depths = broker.depths or {}
    # Queues that the broker has first, then those with the latest events: names in events can be forged.
    names = sorted(tallies.keys() | consuming.keys(), key=lambda name: (name not in depths, -tallies[name].heard, name))
    return [
        _queue_status(name, tallies[name], depths.get(name), broker, consuming[name], lost=lost, now=now)
        for name in sorted(names[:MOST_QUEUES])
    ]


def contradictions(workers: Iterable[tuple[str, str]], windows: Mapping[str, tuple[PrefetchWindow, ...]]) -> list[str]:
    """A sentence for each queue whose windows contradict the dispatch mode that its workers report.

    `workers` are pairs of queue and dispatch mode; `windows` are the prefetch windows of each queue's channels.
    """
    notes = []
    for queue, dispatch in sorted(set(workers)):
        of_queue = windows.get(queue, ())
        known = [window.window for window in of_queue]
        if not of_queue or None in known:
            continue
        if dispatch in LATE and not any(known):
            notes.append(
                f"Workers of {queue} report dispatch mode {dispatch}, but none of its consumers has a prefetch limit."
            )
        elif dispatch in EARLY and all(known):
            notes.append(
                f"Workers of {queue} report dispatch mode {dispatch}, but all its consumers have a prefetch limit."
            )
        elif dispatch in LATE and not any(window.acknowledges for window in of_queue):
            notes.append(
                f"Workers of {queue} report dispatch mode {dispatch}, but none of its consumers acknowledges messages."
            )
    return notes


def _queue_status(
    name: str,
    tally: _EventTally,
    depth: Depth | None,
    broker: BrokerState,
    consuming: _Consuming,
    *,
    lost: int,
    now: float,
) -> QueueStatus:
    events = EventCount(ready=tally.sent, unacknowledged=tally.held)
    if depth is None:
        return QueueStatus(queue=name, type=None, broker=None, events=events, explanation=None)
    age_s = max(0.0, now - broker.time)
    quiet_s = max(0.0, now - tally.heard)
    windows = (broker.windows or {}).get(name, ())
    # In adaptive dispatch the number of a worker's consumers changes, and its channel remains.
    consumers = sum(window.channels for window in windows) if ADAPTIVE in consuming.modes else depth.consumers
    counts = QueueCounts(
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        sent=tally.sent,
        held=tally.held,
        running=tally.running,
        delayed=tally.delayed,
        orphaned=tally.orphaned,
        unannounced=tally.unannounced,
        lost=lost,
        quorum=depth.type == "quorum",
        consumers=consumers,
        workers=len(consuming.modes),
        in_advance=consuming.held if quiet_s > QUIET_S else max(consuming.held, consuming.window),
        age_s=age_s,
        quiet_s=quiet_s,
    )
    by_broker = BrokerCount(
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        consumers=depth.consumers,
        windows=windows,
        age_s=round(age_s, 3),
    )
    return QueueStatus(
        queue=name, type=depth.type, broker=by_broker, events=events, explanation=explain_difference(counts)
    )


def _tallies(history: History, workers: Workers, now: float) -> defaultdict[str, _EventTally]:
    tallies: defaultdict[str, _EventTally] = defaultdict(_EventTally)
    for _, task in history:
        last = task.attempts[-1]
        worker = workers.get(last.worker)
        queue = queue_of(last, worker)
        if queue is None:
            continue
        tally = tallies[queue]
        tally.heard = max(tally.heard, task.heard)
        tally.unannounced = tally.unannounced or last.sent is None
        if task.open and ended_with_worker(last, workers, now) is None:
            _count(tally, task.attempts, worker.dispatch if worker is not None else None, workers, now)
    return tallies


def _count(tally: _EventTally, attempts: Sequence[Attempt], dispatch: str | None, workers: Workers, now: float) -> None:
    last = attempts[-1]
    if last.worker is None:
        tally.sent += 1
        tally.delayed += last.eta is not None and last.eta > now
        return
    late = dispatch in LATE
    if last.held or late:
        tally.held += 1
        tally.orphaned += workers.is_alive(last.worker, now) is False
    elif dispatch not in EARLY:
        tally.running += 1
