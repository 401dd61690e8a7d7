"""Times and durations as people read them."""

from __future__ import annotations

import pytest

from proj.commands.terminal.clock import format_duration, utc


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119.6, "120 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 days")]
)
def test_duration_has_the_unit_that_leaves_few_digits(seconds: float, words: str) -> None:
    """Seconds up to two minutes, minutes up to two hours, hours up to two days."""
    assert format_duration(seconds) == words


def test_time_that_does_not_exist_is_unknown() -> None:
    """Anyone can send any number."""
    assert utc(86400.0, unknown="?") == "1970-01-02 00:00:00Z"
    assert [utc(seconds, unknown="?") for seconds in (None, 1e300, float("nan"))] == ["?"] * 3
