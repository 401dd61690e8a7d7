"""Tallies over time."""

from __future__ import annotations

import pytest

from proj.dashboard.live.now.rolling import Rolling
from proj.dashboard.live.now.tally import MOST_QUEUES, NO_QUEUE, QueueKey, Tally, percentiles, step_of

KEY = QueueKey("mail")


def of_a_day() -> Rolling:
    """One arrival a second, for a day."""
    rolling = Rolling()
    for second in range(86_400):
        tally = Tally(float(second), second + 1.0)
        tally.queues[KEY].arrivals += 1
        tally.workers["w1"].busy_s += 0.5
        rolling.add(tally)
    return rolling


def test_window_has_what_happened_in_it_and_memory_stays_flat() -> None:
    """Within the length of the older tallies, which are merged."""
    rolling = of_a_day()

    for seconds, off in ((60, 1), (300, 10), (900, 20), (3600, 120)):
        window = rolling.window(seconds, 86_400.0)
        assert window.queues[KEY].arrivals == pytest.approx(seconds, abs=off)
        assert window.ended - window.began == pytest.approx(window.queues[KEY].arrivals)
        assert window.workers["w1"].busy_s == pytest.approx(window.queues[KEY].arrivals / 2)
    assert rolling.window(None, 86_400.0).queues[KEY].arrivals == 86_400
    assert len(list(rolling)) < 250


def test_queues_beyond_the_most_share_one_tally() -> None:
    """Anyone who can publish could name any number of queues; nothing of them is lost from the sum."""
    tally = Tally(0.0, 1.0)
    for number in range(MOST_QUEUES + 50):
        tally.queues[QueueKey(f"queue {number}")].arrivals += 1

    assert len(tally.queues) == MOST_QUEUES + 1
    assert tally.queues[NO_QUEUE].arrivals == 50
    assert sum(queue.arrivals for queue in tally.queues.values()) == MOST_QUEUES + 50


def test_window_without_anything_is_empty() -> None:
    """Before the first tally."""
    window = Rolling().window(60, 100.0)

    assert (window.began, window.ended, dict(window.queues)) == (100.0, 100.0, {})


@pytest.mark.parametrize("wait_s", [0.0004, 0.02, 1.0, 60.0, 5000.0])
def test_percentile_is_within_five_per_cent(wait_s: float) -> None:
    """A wait is counted by its step; the shortest are 0."""
    (found,) = percentiles({step_of(wait_s): 3}, [99])

    assert found == pytest.approx(wait_s, rel=0.05, abs=0.001)


def test_percentiles_are_by_nearest_rank() -> None:
    """As those of the figures; None without any wait."""
    waits = {step_of(0.0): 50, step_of(1.0): 45, step_of(10.0): 5}

    assert percentiles(waits, (50, 95, 96)) == pytest.approx([0.0, 1.0, 10.0], rel=0.05)
    assert percentiles({}, (50, 99)) == [None, None]
