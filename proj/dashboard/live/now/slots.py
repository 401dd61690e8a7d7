"""Slots: which worker was busy, which was free, and which held tasks meanwhile, between two times."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.dashboard.live.now.tally import QueueKey
from proj.metrics.intervals import IntervalsByOwner, IntervalSet, difference, length_s, times_at_least, union

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from proj.dashboard.live.now.tally import Tally
    from proj.journal.attempt import Attempt
    from proj.metrics.intervals import Interval

#: Seconds: a shorter time in a worker is that of its pool and of the events, and no wait.
HARMLESS_S = 0.1
#: Seconds: a smaller difference of a worker's clock is the time that its events need.
SKEW_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A worker that is there."""

    name: str
    #: None when it is not known.
    slots: int | None
    queues: frozenset[str]
    #: Seconds by which its clock is ahead.
    ahead_s: float = 0.0


def add_slots(
    tally: Tally, attempts: Iterable[Attempt], places: Mapping[str, Place], *, without: Collection[str] = ()
) -> None:
    """Add busy seconds and avoidable waits between the begin and the end of the tally to it.

    An attempt waits avoidably while it is held and another worker that consumes its queue is idle: it has a free slot
    and holds nothing itself. That is stricter than `proj.metrics.waits`, where the moment between two tasks of a worker
    that has a backlog of its own counts, too. Where the queue is not known, the other worker must consume all queues of
    the one that holds the attempt.

    Args:
        tally: is changed.
        attempts: those that workers had in this time; others change nothing.
        places: the workers that were there, by name.
        without: queues of which nobody consumes now, or of which nothing is known.
    """
    begin, end = tally.began, tally.ended
    running: defaultdict[str, list[Interval]] = defaultdict(list)
    holding: defaultdict[str, list[Interval]] = defaultdict(list)
    held: defaultdict[tuple[QueueKey, str], list[Interval]] = defaultdict(list)
    for attempt in attempts:
        place = places.get(attempt.worker or "")
        if place is None:
            continue
        ran = _ran(attempt, place.ahead_s, begin, end)
        if ran is not None:
            running[place.name].append(ran)
        waited = _waited(attempt, place.ahead_s, end)
        if waited is None:
            continue
        since, until = max(begin, waited[0]), min(end, waited[1])
        if since >= until:
            continue
        holding[place.name].append((since, until))
        if waited[1] - waited[0] >= HARMLESS_S:
            key = QueueKey(attempt.queue) if attempt.queue is not None else QueueKey(None, place.name)
            held[key, place.name].append((since, until))
    for name, intervals in running.items():
        limit = (places[name].slots or len(intervals)) * (end - begin)
        tally.workers[name].busy_s += min(limit, sum(map(length_s, intervals)))
    for place in places.values():
        tally.workers[place.name].slot_s += (place.slots or 0) * (end - begin)
    if held:
        _add_avoidable(tally, held, _idle(tally, running, holding, places), places, without)


def is_free(place: Place, running: int) -> bool:
    """Whether it has a slot that runs nothing."""
    return place.slots is not None and running < place.slots


def _idle(
    tally: Tally,
    running: Mapping[str, Sequence[Interval]],
    holding: Mapping[str, Sequence[Interval]],
    places: Mapping[str, Place],
) -> dict[str, list[Interval]]:
    """When each worker had a free slot and held nothing."""
    present = [(tally.began, tally.ended)]
    idle = {}
    for place in places.values():
        if place.slots is not None:
            free = difference(present, times_at_least(running.get(place.name, ()), place.slots))
            idle[place.name] = difference(free, union(holding.get(place.name, ()))) if free else free
    return idle


def _add_avoidable(
    tally: Tally,
    held: Mapping[tuple[QueueKey, str], list[Interval]],
    free: Mapping[str, list[Interval]],
    places: Mapping[str, Place],
    without: Collection[str],
) -> None:
    prepared: dict[frozenset[str], IntervalsByOwner] = {}
    waited: defaultdict[QueueKey, list[Interval]] = defaultdict(list)
    for (key, holder), intervals in held.items():
        queues = _needed(key, places)
        if not queues or not queues.isdisjoint(without):
            continue
        if queues not in prepared:
            prepared[queues] = IntervalsByOwner(
                {name: own for name, own in free.items() if queues <= places[name].queues}
            )
        seconds = sum(prepared[queues].others_s(holder, *one) for one in intervals)
        if seconds > 0:
            tally.queues[key].held_by[holder] += seconds
            waited[key] += intervals
    for key, intervals in waited.items():
        queues = _needed(key, places)
        waits = union(intervals)
        for name, own in free.items():
            if own and queues <= places[name].queues:
                both = IntervalSet(own)
                seconds = sum(both.overlap_s(*one) for one in waits)
                if seconds > 0:
                    tally.queues[key].idle[name] += seconds


def _needed(key: QueueKey, places: Mapping[str, Place]) -> frozenset[str]:
    """The queues that a worker must consume, so that it surely could have had the task."""
    if key.queue is not None:
        return frozenset({key.queue})
    place = places.get(key.worker or "")
    return frozenset() if place is None else place.queues


def _ran(attempt: Attempt, ahead_s: float, begin: float, end: float) -> Interval | None:
    if attempt.started is None:
        return None
    since = max(begin, attempt.started - ahead_s)
    until = end if attempt.finished is None else min(end, attempt.finished - ahead_s)
    return (since, until) if since < until else None


def _waited(attempt: Attempt, ahead_s: float, end: float) -> Interval | None:
    """From its receipt, or its ETA, to its start, or the end."""
    if attempt.received is None:
        return None
    left = attempt.started if attempt.started is not None else attempt.finished
    since = max(attempt.received - ahead_s, attempt.eta or 0.0)
    return since, end if left is None else left - ahead_s
