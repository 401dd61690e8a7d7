"""Distributions: mean, percentiles and maximum of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, fsum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How some seconds are distributed; all 0 when there are none."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


def distribution(seconds: Iterable[float]) -> Distribution:
    """Mean, percentiles by nearest rank, and maximum.

    A percentile is the least of the values that at least so many per cent do not exceed: a value that was measured,
    never one between two (Hyndman and Fan 1996, type 1).
    """
    ordered = sorted(seconds)
    if not ordered:
        return Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, max=0.0)
    count = len(ordered)

    def percentile(percent: int) -> float:
        return ordered[ceil(count * percent / 100) - 1]

    return Distribution(
        count=count,
        mean=fsum(ordered) / count,
        p50=percentile(50),
        p95=percentile(95),
        p99=percentile(99),
        max=ordered[-1],
    )
