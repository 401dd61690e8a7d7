"""How the processes of a soak grow."""

from __future__ import annotations

import pytest

from proj.lab.soak.trend import Measure, Trend, trends


def life(pid: int, memory: list[int], *, role: str = "worker", began: float = 0.0) -> list[Measure]:
    """Measures of one process, ten seconds apart."""
    return [
        Measure(role=role, pid=pid, time=began + 10 * place, memory=value, descriptors=20 + place, threads=4)
        for place, value in enumerate(memory)
    ]


def only(found: list[Trend]) -> Trend:
    (trend,) = found
    return trend


def test_growth_is_told_in_units_a_minute() -> None:
    """100 bytes and one descriptor in ten seconds, and no thread."""
    trend = only(trends(life(1, [1000 + 100 * number for number in range(10)]), warm_up_s=0))

    assert trend.memory == pytest.approx(600)
    assert trend.descriptors == pytest.approx(6)
    assert trend.threads == pytest.approx(0)
    assert (trend.processes, trend.most_memory) == (1, 1900)


def test_process_that_takes_the_place_of_another_is_no_growth() -> None:
    """Each has its own level, and the slope within each counts."""
    flat = trends(life(1, [1000] * 10) + life(2, [9000] * 10, began=100), warm_up_s=0)

    assert only(flat).memory == pytest.approx(0)
    assert only(flat).processes == 2


def test_warm_up_of_each_process_does_not_count() -> None:
    """A cache that fills in the first minute is no leak."""
    fills = [1000 * number for number in range(6)] + [6000] * 6

    assert only(trends(life(1, fills), warm_up_s=60)).memory == pytest.approx(0)


def test_role_whose_processes_lived_too_shortly_has_no_slope() -> None:
    """A few measures say nothing; what it held is told."""
    trend = only(trends(life(1, [1000, 2000, 3000]), warm_up_s=0))

    assert (trend.memory, trend.descriptors, trend.threads) == (None, None, None)
    assert trend.usual_memory == 2000


def test_roles_are_told_apart() -> None:
    """In the order in which they were measured."""
    found = trends(life(1, [1] * 6, role="worker") + life(2, [1] * 6, role="dashboard"), warm_up_s=0)

    assert [trend.role for trend in found] == ["worker", "dashboard"]
