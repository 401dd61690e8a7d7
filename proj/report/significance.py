"""Significance: a rank test for the difference of two groups of runs, its correction, and intervals of medians."""

from __future__ import annotations

import importlib
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

#: A difference is significant if its corrected p value is less than this.
SIGNIFICANCE = 0.05
#: The confidence level of the intervals of medians.
CONFIDENCE = 0.95
#: Bootstrap samples; and permutations, if the runs have more orders than this.
RESAMPLES = 9999
#: The first SciPy whose resampling takes `rng`.
LEAST_SCIPY = (1, 15)
#: A fixed seed, so that the same journal gives the same numbers.
RNG_SEED = 20140422


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One figure over the runs of one group."""

    count: int
    median: float
    #: The confidence interval of the median, by bootstrap; None for one run, and without SciPy.
    low: float | None
    high: float | None


def summary(values: Sequence[float]) -> Summary:
    """The median of `values` and its confidence interval, which is not known without SciPy.

    Source: percentile bootstrap, B. Efron, Bootstrap Methods: Another Look at the Jackknife (1979).
    """
    median = statistics.median(values)
    if len(values) == 1:
        return Summary(count=1, median=median, low=None, high=None)
    # SciPy would warn if all values are equal.
    if min(values) == max(values):
        return Summary(count=len(values), median=median, low=median, high=median)
    stats = _scipy_stats()
    if stats is None:
        return Summary(count=len(values), median=median, low=None, high=None)
    interval = stats.bootstrap(
        (values,),
        importlib.import_module("numpy").median,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=RNG_SEED,
    ).confidence_interval
    return Summary(count=len(values), median=median, low=float(interval.low), high=float(interval.high))


def rank_test(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The p value of the two-sided Mann-Whitney U test, 0 to 1; None if it takes SciPy, which is not there.

    It is 1.0 if all values are equal, or a group has one only.

    It is computed over all orders of the runs, or over `RESAMPLES` of them if there are more. The usual normal
    approximation gives too small p values for few runs and ties.

    Source: H. B. Mann and D. R. Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than
    the Other (1947).
    """
    if len({*first, *second}) == 1 or min(len(first), len(second)) == 1:
        return 1.0
    stats = _scipy_stats()
    if stats is None:
        return None
    method = stats.PermutationMethod(n_resamples=RESAMPLES, rng=RNG_SEED)
    return float(stats.mannwhitneyu(first, second, alternative="two-sided", method=method).pvalue)


def smallest_p(first: int, second: int) -> float:
    """The least p value of a two-sided rank test for groups of so many runs: 2 / C(first + second, first)."""
    return min(1.0, 2 / math.comb(first + second, first))


def enough_repeats(tests: int) -> int:
    """The least number of runs in each of two groups with which a difference can be significant after `tests` tests."""
    repeats = 1
    while smallest_p(repeats, repeats) * tests >= SIGNIFICANCE:
        repeats += 1
    return repeats


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for the number of tests, in the same order.

    The smallest of n is multiplied by n, the next by n - 1 and so on; none becomes smaller than the one before it.

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = least
    return corrected


def _scipy_stats() -> ModuleType | None:
    """SciPy's statistics; None if SciPy is not installed, or too old."""
    try:
        scipy = importlib.import_module("scipy")
        if tuple(int(part) for part in scipy.__version__.split(".")[:2]) < LEAST_SCIPY:
            return None
        return importlib.import_module("scipy.stats")
    except ImportError:
        return None
