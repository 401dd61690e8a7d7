"""Distribution: count, mean, percentiles and maximum of durations."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, fsum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The distribution of some durations, in seconds; all values are 0 if there are none."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


def distribution(seconds: Iterable[float]) -> Distribution:
    """The distribution of `seconds`, with percentiles by nearest rank.

    The p-th percentile is the smallest measured value that at least p per cent of all values do not exceed. It is never
    interpolated.

    Source: definition 1 in R. J. Hyndman and Y. Fan, Sample Quantiles in Statistical Packages (1996).
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
