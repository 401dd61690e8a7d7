"""Rolling: the tallies of the last hour, the older the coarser, so that memory stays flat; and of all time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proj.dashboard.live.now.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

#: For each row of tallies: seconds that one of its tallies has at least, and seconds for which they are kept.
ROWS = ((0.0, 70.0), (10.0, 930.0), (60.0, 3660.0))


class Rolling:
    """Tallies by time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: tuple[deque[Tally], ...] = tuple(deque() for _ in ROWS)
        self.whole: Tally | None = None

    def __iter__(self) -> Iterator[Tally]:
        """The tallies of the last hour, the oldest first."""
        for row in reversed(self._rows):
            yield from row

    def add(self, tally: Tally) -> None:
        """Add what happened since the last tally."""
        if self.whole is None:
            self.whole = Tally(tally.began, tally.began)
        self.whole.add(tally)
        self._rows[0].append(tally)
        for number, (_, keep_s) in enumerate(ROWS):
            row = self._rows[number]
            while row and row[0].ended <= tally.ended - keep_s:
                oldest = row.popleft()
                if number + 1 < len(ROWS):
                    self._put(number + 1, oldest)

    def window(self, seconds: float | None, now: float) -> Tally:
        """What happened in the last `seconds`, or since the beginning."""
        if seconds is None:
            return self.whole or Tally(now, now)
        summed: Tally | None = None
        for tally in self:
            # A tally belongs to the window in which most of it lies.
            if (tally.began + tally.ended) / 2 >= now - seconds:
                if summed is None:
                    summed = Tally(tally.began, tally.ended)
                summed.add(tally)
        return summed or Tally(now, now)

    def _put(self, number: int, tally: Tally) -> None:
        row, (least_s, _) = self._rows[number], ROWS[number]
        if row and row[-1].ended - row[-1].began < least_s and tally.ended - row[-1].began <= 2 * least_s:
            row[-1].add(tally)
        else:
            row.append(_copy(tally))


def _copy(tally: Tally) -> Tally:
    copied = Tally(tally.began, tally.began)
    copied.add(tally)
    return copied
