"""The samples of a queue's depth that are kept in memory."""

from __future__ import annotations

from collections import Counter

import pytest

from proj.journal.recording.depths import MOST_OLD, Depths
from proj.journal.records import Sample

DAY_S = 86_400


def sample(time: float, ready: int) -> Sample:
    return Sample(time=time, queue="mail", ready=ready, unacknowledged=None, consumers=1)


def of(seconds: int, *, peaks: dict[int, int]) -> Depths:
    """A queue that is filled every ten seconds and becomes empty until then, with some peaks, asked each second."""
    depths = Depths()
    for second in range(seconds):
        depths.add(sample(float(second), peaks.get(second, 9 - second % 10)))
    return depths


@pytest.mark.parametrize("days", [0.1, 1, 3])
def test_memory_of_depths_stays_flat(days: float) -> None:
    """However long the dashboard runs, a queue has at most the samples of the last quarter and `MOST_OLD` older."""
    assert len(of(int(days * DAY_S), peaks={}).samples) <= 120 + 2 * 94 + MOST_OLD


def test_older_depths_are_fewer_and_have_every_peak() -> None:
    """Each sample of the last two minutes, two of ten seconds for a quarter of an hour, and fewer before."""
    depths = of(DAY_S, peaks={5_000: 99, DAY_S - 500: 98}).samples

    ages = Counter(bound for one in depths for bound in (120, 900, DAY_S) if DAY_S - one.time <= bound)
    assert ages[120] == 120
    assert ages[900] - ages[120] == pytest.approx(2 * 78, abs=4)
    assert depths[0].time < DAY_S / 100
    assert [one.time for one in depths] == sorted(one.time for one in depths)
    assert [one.ready for one in depths if one.ready > 9] == [99, 98]


def test_last_depth_before_any_time_is_that_of_its_step() -> None:
    """A queue that was emptied is not shown as full because of the peak before that."""
    depths = of(3_600, peaks={2_001: 50, 2_002: 0}).samples

    before = [one for one in depths if one.time < 2_041]
    assert before[-1].ready < 50
    assert max(one.ready for one in depths) == 50
