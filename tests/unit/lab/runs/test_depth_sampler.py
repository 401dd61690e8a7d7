"""How long the samples say that a queue is empty."""

from __future__ import annotations

import pytest

from proj.journal.records import Sample
from proj.lab.runs.depth_sampler import empty_for_s


def samples(*counts: tuple[int, int | None]) -> list[Sample]:
    """One sample each second with these ready and unacknowledged messages."""
    return [
        Sample(time=100.0 + second, queue="q", ready=ready, unacknowledged=unacknowledged, consumers=1)
        for second, (ready, unacknowledged) in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        ([], 0.0),
        ([(0, 0)], 0.0),
        ([(0, 0), (0, 0), (0, 0)], 2.0),
        ([(1, 0), (0, 0), (0, 0)], 1.0),
        ([(0, 1), (0, 0), (0, 0)], 1.0),
        ([(0, 0), (0, 0), (1, 0)], 0.0),
        ([(0, 0), (0, 0), (0, 1)], 0.0),
        ([(0, 0), (0, None), (0, 0)], 0.0),
    ],
)
def test_queue_is_empty_since_the_last_sample_that_held_something(
    counts: list[tuple[int, int | None]], seconds: float
) -> None:
    """An unacknowledged message may be redelivered, and an uncounted one may exist."""
    assert empty_for_s(samples(*counts)) == seconds
