"""Intervals of time: union, difference, overlap, and how long the intervals of other owners overlap one.

The figures that contain "while another worker ..." all need the last. One sweep over all intervals prepares the answer;
each question then takes two binary searches. n intervals take O(n log n).

Source: the sweep is J. L. Bentley's solution of Klee's measure problem in one dimension (1977).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Begin and end in seconds since the epoch; the end is exclusive.
Interval: TypeAlias = tuple[float, float]


def length_s(interval: Interval) -> float:
    """The length of an interval in seconds."""
    return interval[1] - interval[0]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of the intervals: in order, without overlap and without empty intervals."""
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
    """The parts of `intervals` that are not in `taken`; both must be in order and without overlap."""
    left: list[Interval] = []
    index = 0
    for begin, end in intervals:
        since = begin
        while index < len(taken) and taken[index][1] <= since:
            index += 1
        ahead = index
        while ahead < len(taken) and taken[ahead][0] < end:
            if since < taken[ahead][0]:
                left.append((since, taken[ahead][0]))
            since = taken[ahead][1]
            ahead += 1
        index = max(index, ahead - 1)
        if since < end:
            left.append((since, end))
    return left


def times_at_least(intervals: Sequence[Interval], level: int) -> list[Interval]:
    """The times at which at least `level` of the intervals overlap, in order."""
    starts = [*sorted(begin for begin, end in intervals if begin < end), float("inf")]
    ends = sorted(end for begin, end in intervals if begin < end)
    reached: list[Interval] = []
    since = 0.0
    depth = index = 0
    for end in ends:
        while starts[index] < end:
            depth += 1
            if depth == level:
                since = starts[index]
            index += 1
        if depth == level and since < end:
            reached.append((since, end))
        depth -= 1
    return reached


def most_at_once(intervals: Sequence[Interval]) -> int:
    """The greatest number of intervals that overlap; one that ends when another begins does not overlap it."""
    starts = sorted(begin for begin, end in intervals if begin < end)
    ends = sorted(end for begin, end in intervals if begin < end)
    most = ended = 0
    for begun, begin in enumerate(starts, 1):
        while ends[ended] <= begin:
            ended += 1
        most = max(most, begun - ended)
    return most


class IntervalSet:
    """Intervals that are in order and do not overlap, prepared to be asked many times."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._begins = [begin for begin, _ in intervals]
        self._ends = [end for _, end in intervals]
        self._before = [0.0]
        for begin, end in intervals:
            self._before.append(self._before[-1] + (end - begin))

    def overlap_s(self, begin: float, end: float) -> float:
        """Seconds between `begin` and `end` that lie in the intervals."""
        last = bisect_right(self._begins, end)
        if not last:
            return 0.0
        seconds = self._before[last]
        # `seconds` counts whole intervals: take off the part of the last one after `end`, and of all before `begin`.
        if self._ends[last - 1] > end:
            seconds -= self._ends[last - 1] - end
        first = bisect_right(self._begins, begin, 0, last)
        if first:
            seconds -= self._before[first]
            if self._ends[first - 1] > begin:
                seconds += self._ends[first - 1] - begin
        return seconds


class IntervalsByOwner:
    """The intervals of several owners, prepared to be asked how long those of other owners overlap one."""

    def __init__(self, intervals_of: Mapping[str | None, Iterable[Interval]]) -> None:
        """Take the intervals of each owner, by its name; those of one owner may overlap."""
        names = list(intervals_of)
        changes = [
            change
            for index, intervals in enumerate(intervals_of.values())
            for begin, end in union(intervals)
            for change in ((begin, 1, index), (end, -1, index))
        ]
        changes.sort()
        any_owner: list[Interval] = []
        alone: dict[str | None, list[Interval]] = defaultdict(list)
        count = indexes = 0
        since = begun = 0.0
        for time, change, index in changes:
            if count == 1 and since < time:
                # `indexes` is the sum of the indexes of all owners with an open interval: here, of the only one.
                alone[names[indexes]].append((since, time))
            elif count == 0:
                begun = time
            count += change
            indexes += change * index
            since = time
            if count == 0:
                any_owner.append((begun, time))
        self._any_owner = IntervalSet(any_owner)
        self._alone = {name: IntervalSet(intervals) for name, intervals in alone.items()}

    def others_s(self, name: str | None, begin: float, end: float) -> float:
        """Seconds between `begin` and `end` that lie in an interval of another owner than `name`."""
        seconds = self._any_owner.overlap_s(begin, end)
        alone = self._alone.get(name)
        if alone is None or not seconds:
            return seconds
        return max(0.0, seconds - alone.overlap_s(begin, end))
