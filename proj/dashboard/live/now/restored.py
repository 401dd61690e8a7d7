"""Restored: tallies what the attempts of a journal tell of the time before."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from proj.dashboard.live.now.presence import place_of
from proj.dashboard.live.now.recent import count_arrival, count_end, count_start, key_of
from proj.dashboard.live.now.slots import Place, add_slots
from proj.dashboard.live.now.tally import Tally
from proj.journal.attempt import OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.dashboard.live.state import State
    from proj.journal.attempt import Attempt

#: Seconds of a tally, and for which there are tallies; what was before is in one.
STEP_S = 10.0
HOUR_S = 3600.0


def restore(state: State, until: float) -> None:
    """Tally what the attempts in memory tell, up to a time."""
    attempts = [one for _, task in state.history for one in task.attempts]
    times = [time for one in attempts for time in (one.sent, one.received, one.started, one.finished) if time]
    if not times:
        return
    slices = _Slices(min(times), min(until, max(times)))
    had: defaultdict[int, list[Attempt]] = defaultdict(list)
    for one in attempts:
        _count(slices, one)
        begun = one.received or one.started
        if one.worker is not None and begun is not None and (one.finished is not None or one.state in OPEN):
            for number in range(slices.number(begun), slices.number(one.finished or slices.last) + 1):
                had[number].append(one)
    seen = _seen(attempts)
    for number, tally in enumerate(slices.tallies):
        add_slots(tally, had[number], _places_then(state, seen, tally))
        state.rolling.add(tally)
    for one in attempts:
        if one.worker is not None and (heard := one.finished or one.started or one.received):
            key = key_of(one)
            state.recent.active[key] = max(heard, state.recent.active.get(key, 0.0))


class _Slices:
    """Tallies that follow each other."""

    def __init__(self, first: float, last: float) -> None:
        """Begin at `first`, and end at or after `last`."""
        self.last = last
        self._since = max(first, last - HOUR_S)
        edges = [self._since + number * STEP_S for number in range(int((last - self._since) / STEP_S) + 2)]
        self._before = int(first < self._since)
        if self._before:
            edges.insert(0, first)
        edges[-1] = max(last, edges[-2] + 1.0)
        self.tallies = [Tally(began, ended) for began, ended in pairwise(edges)]

    def number(self, time: float) -> int:
        """The place of the tally of this time; the nearest, if there is none."""
        return max(0, min(len(self.tallies) - 1, int((time - self._since) // STEP_S) + self._before))

    def at(self, time: float) -> Tally:
        """The tally of this time."""
        return self.tallies[self.number(time)]


def _count(slices: _Slices, attempt: Attempt) -> None:
    arrived = attempt.sent or attempt.received or attempt.started
    if arrived is not None:
        count_arrival(slices.at(arrived), attempt)
    if attempt.worker is not None and attempt.started is not None:
        count_start(slices.at(attempt.started), attempt)
    if attempt.worker is not None and attempt.finished is not None:
        count_end(slices.at(attempt.finished), attempt)


def _seen(attempts: Sequence[Attempt]) -> dict[str, tuple[float, float]]:
    """The times of the first and the last event of each worker's tasks."""
    seen: dict[str, tuple[float, float]] = {}
    for one in attempts:
        times = [time for time in (one.received, one.started, one.finished) if time is not None]
        if one.worker is not None and times:
            first, last = seen.get(one.worker, (times[0], times[0]))
            seen[one.worker] = min(first, *times), max(last, *times)
    return seen


def _places_then(state: State, seen: Mapping[str, tuple[float, float]], tally: Tally) -> dict[str, Place]:
    """The workers that were there during a tally: from their first task to their last event or heartbeat."""
    found = {}
    for worker in state.workers.at(tally.ended):
        if worker.name in seen:
            first, last = seen[worker.name]
            last = max(last, state.workers.recorded_heartbeat(worker.name) or 0.0)
            if first <= tally.ended and tally.began <= last:
                found[worker.name] = place_of(worker)
    return found
