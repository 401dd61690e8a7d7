"""Thinning: bars, steps and quantiles stay few and keep what matters."""

from __future__ import annotations

from proj.report.thinning import MAX_STEPS, QUANTILES, Bar, quantiles, steps, thin_bars, thin_steps


def test_few_bars_stay_as_they_are() -> None:
    """Bars within the limit are not joined."""
    bars = [Bar(0.0, 0.001, "running", "a"), Bar(0.001, 0.002, "running", "b")]

    assert thin_bars(bars, span_s=10.0, limit=2) == bars


def test_short_bars_close_together_are_joined_and_long_ones_stay() -> None:
    """A joined bar has the number of its attempts and the share of its length in which they ran."""
    long = Bar(0.0, 5.0, "running", "long")
    short = [Bar(5.0 + number / 10, 5.05 + number / 10, "running", "short") for number in range(10)]

    first, second = thin_bars([long, *short], span_s=10.0, limit=10)

    assert first == long
    assert (second.attempts, second.start, second.kind, second.label) == (10, 5.0, "running", "")
    assert second.share == round(0.5 / 0.95, 3)


def test_lost_bar_is_not_joined_with_bars_of_another_kind() -> None:
    """One lost attempt among many must be visible."""
    bars = [Bar(number / 1000, (number + 0.5) / 1000, "running") for number in range(1000)]
    bars[500] = bars[500]._replace(kind="lost")

    thin = thin_bars(bars, span_s=1.0, limit=10)

    assert [bar for bar in thin if bar.kind == "lost"] == [bars[500]]
    assert sum(bar.attempts for bar in thin) == 1000
    assert len(thin) <= 20


def test_steps_have_the_count_after_each_change() -> None:
    """Changes may come in any order; those at one time are one step."""
    assert steps([(2.0, -1), (0.0, 1), (0.0, 1), (3.0, -1)]) == ([0.0, 2.0, 3.0], [2, 1, 0])


def test_thin_steps_keep_every_peak_and_the_last_value() -> None:
    """One peak among ten thousand values stays, and the line ends at its last value."""
    times = [number / 100 for number in range(10_000)]
    values = [0] * 10_000
    values[5000], values[-1] = 99, 7

    thin_times, thin_values = thin_steps(times, values, span_s=100.0)

    assert max(thin_values) == 99
    assert thin_values[-1] == 7
    assert len(thin_times) == len(thin_values) <= 2 * MAX_STEPS


def test_quantiles_begin_with_the_lowest_and_end_with_the_highest() -> None:
    """Many values become `QUANTILES` of them."""
    assert quantiles([3.0, 1.0, 2.0]) == [1.0, 2.0, 3.0]

    thin = quantiles([float(number) for number in range(100_001)])

    assert (len(thin), thin[0], thin[100], thin[-1]) == (QUANTILES, 0.0, 50_000.0, 100_000.0)
