"""Queues: what the broker counts in each beside what events tell, and whether broker and workers tell the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.dashboard.live.count_differences import Facts, explanation
from proj.dashboard.live.groups import queue_of
from proj.dashboard.live.status import BrokerCount, EventCount, QueueStanding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.broker.queue_depths import Depth
    from proj.dashboard.live.broker_poll import View
    from proj.dashboard.live.history import History
    from proj.dashboard.live.status import Window
    from proj.dashboard.live.workers import Crew
    from proj.journal.attempt import Attempt

#: Queues that are told of; whoever can publish could name any number.
MOST_QUEUES = 50
#: Modes in which a worker acknowledges a message when it begins to work on it.
EARLY = frozenset({"round-robin"})
#: Modes in which it acknowledges when the work is done.
LATE = frozenset({"fair", "adaptive"})


@dataclass
class _Tally:
    """What events tell of one queue."""

    sent: int = 0
    held: int = 0
    running: int = 0
    delayed: int = 0
    orphaned: int = 0
    silent: bool = False
    heard: float = 0.0


def standings(history: History, crew: Crew, view: View, *, lost: int, now: float) -> list[QueueStanding]:
    """How each queue stands of which tasks are known or that a worker serves."""
    tallies = _tallies(history, crew, now)
    workers: dict[str, int] = defaultdict(int)
    for worker in crew.records(now):
        for queue in worker.queues:
            if crew.alive(worker.name, now) is not False:
                workers[queue] += 1
    told = view.depths or {}
    # Those that the broker knows first, then the busiest: names can be forged, and only so many are told of.
    names = sorted(tallies.keys() | workers.keys(), key=lambda name: (name not in told, -tallies[name].heard, name))
    return [
        _standing(name, tallies[name], told.get(name), view, workers=workers.get(name, 0), lost=lost, now=now)
        for name in sorted(names[:MOST_QUEUES])
    ]


def contradictions(workers: Iterable[tuple[str, str]], windows: Mapping[str, tuple[Window, ...]]) -> list[str]:
    """A sentence for each queue and mode that workers tell and the broker cannot confirm."""
    notes = []
    for queue, dispatch in sorted(set(workers)):
        of_queue = windows.get(queue, ())
        known = [window.window for window in of_queue]
        if not of_queue or None in known:
            continue
        if dispatch in LATE and not any(known):
            notes.append(
                f"Workers of {queue} say that they dispatch {dispatch}, but the broker gives all its consumers "
                "messages without a limit."
            )
        elif dispatch in EARLY and all(known):
            notes.append(
                f"Workers of {queue} say that they dispatch {dispatch}, but the broker limits what it gives "
                "each of its consumers."
            )
        elif dispatch in LATE and not any(window.acknowledges for window in of_queue):
            notes.append(
                f"Workers of {queue} say that they dispatch {dispatch}, but none of its consumers acknowledges "
                "anything."
            )
    return notes


def _standing(
    name: str, tally: _Tally, depth: Depth | None, view: View, *, workers: int, lost: int, now: float
) -> QueueStanding:
    events = EventCount(ready=tally.sent, unacknowledged=tally.held)
    if depth is None:
        return QueueStanding(queue=name, type=None, broker=None, events=events, explanation=None)
    age_s = max(0.0, now - view.time)
    facts = Facts(
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        sent=tally.sent,
        held=tally.held,
        running=tally.running,
        delayed=tally.delayed,
        orphaned=tally.orphaned,
        silent=tally.silent,
        lost=lost,
        quorum=depth.type == "quorum",
        consumers=depth.consumers,
        workers=workers,
        age_s=age_s,
        quiet_s=max(0.0, now - tally.heard),
    )
    count = BrokerCount(
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        consumers=depth.consumers,
        windows=(view.windows or {}).get(name, ()),
        age_s=round(age_s, 3),
    )
    return QueueStanding(queue=name, type=depth.type, broker=count, events=events, explanation=explanation(facts))


def _tallies(history: History, crew: Crew, now: float) -> defaultdict[str, _Tally]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for _, task in history:
        last = task.attempts[-1]
        worker = crew.record(last.worker)
        queue = queue_of(last, worker)
        if queue is None:
            continue
        tally = tallies[queue]
        tally.heard = max(tally.heard, task.heard)
        tally.silent = tally.silent or last.sent is None
        if task.open:
            _count(tally, task.attempts, worker.dispatch if worker is not None else None, crew, now)
    return tallies


def _count(tally: _Tally, attempts: Sequence[Attempt], dispatch: str | None, crew: Crew, now: float) -> None:
    last = attempts[-1]
    if last.worker is None:
        tally.sent += 1
        tally.delayed += last.eta is not None and last.eta > now
        return
    late = dispatch in LATE
    if last.held or late:
        tally.held += 1
        tally.orphaned += crew.alive(last.worker, now) is False
    elif dispatch not in EARLY:
        tally.running += 1
