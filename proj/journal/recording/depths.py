"""Depths: the samples of one queue that are kept in memory, the older the fewer, so that memory stays flat."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proj.journal.records import Sample

#: For each row of samples: seconds of one of its steps, of which two samples are kept; and seconds for which the row
#: keeps them. The last row keeps them for ever: its steps become longer.
ROWS = ((0.0, 120.0), (10.0, 930.0), (60.0, float("inf")))
#: The most samples of the last row.
MOST_OLD = 600


class Depths:
    """The depths of one queue by time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: tuple[deque[Sample], ...] = tuple(deque() for _ in ROWS)
        self._steps_s = [step_s for step_s, _ in ROWS]

    def add(self, sample: Sample) -> None:
        """Add the next sample."""
        self._rows[0].append(sample)
        for number, (_, keep_s) in enumerate(ROWS[:-1]):
            row = self._rows[number]
            while row and row[0].time <= sample.time - keep_s:
                _put(self._rows[number + 1], row.popleft(), self._steps_s[number + 1])
        old = self._rows[-1]
        while len(old) > MOST_OLD:
            self._steps_s[-1] *= 2
            samples = tuple(old)
            old.clear()
            for one in samples:
                _put(old, one, self._steps_s[-1])

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that are kept, by time."""
        return tuple(sample for row in reversed(self._rows) for sample in row)


def _put(row: deque[Sample], sample: Sample, step_s: float) -> None:
    """Add a sample to its step, which keeps its last one and the highest: no peak is lost."""
    step = sample.time // step_s
    if not row or row[-1].time // step_s != step:
        row.append(sample)
        return
    if len(row) > 1 and row[-2].time // step_s == step:
        # Neither the highest nor, any more, the last one.
        row.pop()
    if _depth(sample) >= _depth(row[-1]):
        row[-1] = sample
    else:
        row.append(sample)


def _depth(sample: Sample) -> int:
    return sample.ready + (sample.unacknowledged or 0)
