"""Significance: a rank test for the difference of two groups of runs, its correction, and intervals of medians."""

from __future__ import annotations

import importlib
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.errors import MissingProgram

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

#: A difference is significant if its corrected p value is less than this.
SIGNIFICANCE = 0.05
#: The confidence level of the intervals of medians.
CONFIDENCE = 0.95
#: Bootstrap samples; and permutations, if the runs have more orders than this.
RESAMPLES = 9999
#: A fixed seed, so that the same journal gives the same numbers.
RNG_SEED = 20140422


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One figure over the runs of one group."""

    count: int
    median: float
    #: The confidence interval of the median, by bootstrap; None for one run.
    low: float | None
    high: float | None


def summary(values: Sequence[float]) -> Summary:
    """The median of `values` and its confidence interval.

    Raises:
        MissingProgram: SciPy is not installed.

    Source: percentile bootstrap, B. Efron, Bootstrap Methods: Another Look at the Jackknife (1979).
    """
    median = statistics.median(values)
    if len(values) == 1:
        return Summary(count=1, median=median, low=None, high=None)
    # SciPy would warn if all values are equal.
    if min(values) == max(values):
        return Summary(count=len(values), median=median, low=median, high=median)
    interval = (
        _library("scipy.stats")
        .bootstrap(
            (values,),
            _library("numpy").median,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=RNG_SEED,
        )
        .confidence_interval
    )
    return Summary(count=len(values), median=median, low=float(interval.low), high=float(interval.high))


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The p value of the two-sided Mann-Whitney U test, 0 to 1; 1.0 if all values are equal, or a group has one only.

    It is computed over all orders of the runs, or over `RESAMPLES` of them if there are more. The usual normal
    approximation gives too small p values for few runs and ties.

    Raises:
        MissingProgram: SciPy is not installed.

    Source: H. B. Mann and D. R. Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than
    the Other (1947).
    """
    if len({*first, *second}) == 1 or min(len(first), len(second)) == 1:
        return 1.0
    stats = _library("scipy.stats")
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


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingProgram("SciPy is not installed. Install it with: pip install scipy") from error
