"""Covers: how many seconds of an interval are covered by others, by anyone's or by another's than one's own.

The figures that ask "while another ..." are all this one question. A sweep over the members' intervals answers it once
for all times, as in Bentley's solution of Klee's measure problem (1977) on a line; each interval then costs two
binary searches. n intervals take O(n log n).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Begin and end, in seconds since the epoch; the end is not part of it.
Interval: TypeAlias = tuple[float, float]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times in order, without overlap and without empty intervals."""
    merged: list[Interval] = []
    begin = end = float("-inf")
    for low, high in sorted(intervals):
        if high <= end:
            continue
        if low > end:
            if begin < end:
                merged.append((begin, end))
            begin = low
        end = high
    if begin < end:
        merged.append((begin, end))
    return merged


def difference(intervals: Sequence[Interval], taken: Sequence[Interval]) -> list[Interval]:
    """What of the intervals is not taken; both in order and without overlap."""
    left: list[Interval] = []
    place = 0
    for begin, end in intervals:
        since = begin
        while place < len(taken) and taken[place][1] <= since:
            place += 1
        ahead = place
        while ahead < len(taken) and taken[ahead][0] < end:
            if since < taken[ahead][0]:
                left.append((since, taken[ahead][0]))
            since = taken[ahead][1]
            ahead += 1
        place = max(place, ahead - 1)
        if since < end:
            left.append((since, end))
    return left


def times_at_least(intervals: Sequence[Interval], level: int) -> list[Interval]:
    """When at least `level` of the intervals overlap."""
    starts = [*sorted(begin for begin, end in intervals if begin < end), float("inf")]
    ends = sorted(end for begin, end in intervals if begin < end)
    reached: list[Interval] = []
    since = 0.0
    depth = place = 0
    for end in ends:
        while starts[place] < end:
            depth += 1
            if depth == level:
                since = starts[place]
            place += 1
        if depth == level and since < end:
            reached.append((since, end))
        depth -= 1
    return reached


def most_at_once(intervals: Sequence[Interval]) -> int:
    """How many of the intervals overlap at most; one that ends when another begins does not overlap it."""
    starts = sorted(begin for begin, end in intervals if begin < end)
    ends = sorted(end for begin, end in intervals if begin < end)
    most = ended = 0
    for begun, begin in enumerate(starts, 1):
        while ends[ended] <= begin:
            ended += 1
        most = max(most, begun - ended)
    return most


class Cover:
    """Seconds covered by intervals that are in order and do not overlap."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._begins = [begin for begin, _ in intervals]
        self._ends = [end for _, end in intervals]
        self._before = [0.0]
        for begin, end in intervals:
            self._before.append(self._before[-1] + (end - begin))

    def seconds(self, begin: float, end: float) -> float:
        """How many of the seconds between begin and end are covered."""
        last = bisect_right(self._begins, end)
        if not last:
            return 0.0
        seconds = self._before[last]
        # What is still to come of an interval in the middle of which it ends, or begins, does not count.
        if self._ends[last - 1] > end:
            seconds -= self._ends[last - 1] - end
        first = bisect_right(self._begins, begin, 0, last)
        if first:
            seconds -= self._before[first]
            if self._ends[first - 1] > begin:
                seconds += self._ends[first - 1] - begin
        return seconds


class Presence:
    """Seconds in which a member other than oneself is present."""

    def __init__(self, members: Mapping[str | None, Iterable[Interval]]) -> None:
        """Of each member, when it is present; intervals of one member may overlap."""
        names = list(members)
        changes = [
            change
            for place, intervals in enumerate(members.values())
            for begin, end in union(intervals)
            for change in ((begin, 1, place), (end, -1, place))
        ]
        changes.sort()
        anyone: list[Interval] = []
        alone: dict[str | None, list[Interval]] = defaultdict(list)
        count = places = 0
        since = begun = 0.0
        for time, change, place in changes:
            if count == 1 and since < time:
                # The sum of the places of all who are present is then the place of the only one.
                alone[names[places]].append((since, time))
            elif count == 0:
                begun = time
            count += change
            places += change * place
            since = time
            if count == 0:
                anyone.append((begun, time))
        self._anyone = Cover(anyone)
        self._alone = {name: Cover(intervals) for name, intervals in alone.items()}

    def seconds_of_others(self, name: str | None, begin: float, end: float) -> float:
        """How many of the seconds between begin and end some member but `name` was present."""
        seconds = self._anyone.seconds(begin, end)
        alone = self._alone.get(name)
        if alone is None or not seconds:
            return seconds
        return max(0.0, seconds - alone.seconds(begin, end))
