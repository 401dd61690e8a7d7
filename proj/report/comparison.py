"""Runs side by side: medians, intervals, and which differences between dispatch modes are real."""

from __future__ import annotations

import importlib
import json
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from proj import metrics
from proj.errors import MissingProgram
from proj.report.document import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Run, Worker

#: A difference is called real when chance alone would show one as large, or larger, less often than this.
SIGNIFICANCE = 0.05
#: Of the intervals.
CONFIDENCE = 0.95
#: Of bootstrap samples and, where there are more than so many orders of the runs, of permutations.
RESAMPLES = 9999
#: So that the same journal gives the same numbers.
RNG_SEED = 20140422

#: What does not make two runs different in kind.
_NOT_CONDITIONS = {"seed", "repeat"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number that a run is described by."""

    key: str
    #: For people, and its unit; none for a plain number.
    title: str
    unit: str = ""
    #: Whether differences are tested; each that is costs the others some power.
    tested: bool = True


#: The tested ones are five, because five repeats a side then just suffice: 2 / C(10, 5) x 5 < 0.05.
FIGURES = (
    Figure(key="makespan_s", title="makespan", unit="s"),
    Figure(key="ratio", title="makespan / ideal"),
    Figure(key="avoidable_wait_s", title="avoidable wait", unit="s"),
    Figure(key="held_wait_s", title="held wait", unit="s", tested=False),
    Figure(key="jain_busy", title="Jain over busy time"),
    Figure(key="jain_counts", title="Jain over counts", tested=False),
    Figure(key="wait_p95_s", title="p95 wait", unit="s"),
)
TESTED = tuple(figure for figure in FIGURES if figure.tested)


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """One run in figures."""

    run: str
    #: What it was: its dispatch mode, or the file that it is from.
    group: str
    #: All that was the same for runs that may be compared: workload, workers and so on.
    condition: str
    #: By the key of the figure.
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One figure over the repeats of one group."""

    count: int
    median: float
    #: Of the median, by bootstrap; None with one run.
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure of one group against another's."""

    figure: str
    first: str
    second: str
    #: The two medians.
    first_median: float
    second_median: float
    #: Of the Mann-Whitney U test, two-sided; and as Holm corrects it for all tests of the comparison.
    p: float
    p_holm: float

    @property
    def real(self) -> bool:
        """Whether chance is no likely cause of it."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The groups that were measured under one condition."""

    condition: str
    #: Group, then key of the figure; in the order in which the groups came.
    groups: Mapping[str, Mapping[str, Summary]]
    differences: tuple[Difference, ...]
    #: Sentences for people: which differences are real, and what cannot be told.
    verdicts: tuple[str, ...]


def figures_of_run(run: Run, attempts: Sequence[Attempt], workers: Sequence[Worker], *, group: str) -> RunFigures:
    """The figures of one run."""
    figures = metrics.figures(attempts, workers_of(run, attempts, workers))
    return RunFigures(
        run=run.name,
        group=group,
        condition=_condition(run),
        values={
            "makespan_s": figures.makespan_s,
            "ratio": figures.ratio,
            "avoidable_wait_s": figures.avoidable_wait_total_s,
            "held_wait_s": figures.held_wait_total_s,
            "jain_busy": figures.jain_busy,
            "jain_counts": figures.jain_counts,
            "wait_p95_s": _wait_p95_s(attempts),
        },
    )


def compare(measured: Iterable[RunFigures]) -> list[Comparison]:
    """One comparison for each condition, in the order in which the runs came.

    Differences are tested by the Mann-Whitney U test, exactly where the runs are few, ties included; p values
    are corrected for all tests of a comparison.

    Sources: H. B. Mann and D. R. Whitney (1947); S. Holm, A simple sequentially rejective multiple test
    procedure (1979); B. Efron, Bootstrap methods (1979), percentiles of the median.

    Raises:
        MissingProgram: SciPy is not installed.
    """
    by_condition: dict[str, dict[str, list[RunFigures]]] = defaultdict(lambda: defaultdict(list))
    for one in measured:
        by_condition[one.condition][one.group].append(one)
    return [_compare(condition, groups) for condition, groups in by_condition.items()]


def smallest_p(first: int, second: int) -> float:
    """The least p value that so many runs can give a two-sided rank test, however far apart they lie."""
    return min(1.0, 2 / math.comb(first + second, first))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for their number, in their order: each times those not smaller, never falling.

    Source: S. Holm (1979).
    """
    corrected = [0.0] * len(p_values)
    floor = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = floor
    return corrected


def _compare(condition: str, groups: Mapping[str, Sequence[RunFigures]]) -> Comparison:
    series = {
        name: {figure.key: [one.values[figure.key] for one in runs] for figure in FIGURES}
        for name, runs in groups.items()
    }
    differences = _differences(series)
    return Comparison(
        condition=condition,
        groups={
            name: {key: _summary(values) for key, values in by_figure.items()} for name, by_figure in series.items()
        },
        differences=differences,
        verdicts=tuple(_verdicts({name: len(runs) for name, runs in groups.items()}, differences)),
    )


def _differences(series: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Difference, ...]:
    pairs = [(first, second, figure.key) for first, second in combinations(series, 2) for figure in TESTED]
    p_values = [_rank_test(series[first][key], series[second][key]) for first, second, key in pairs]
    return tuple(
        Difference(
            figure=key,
            first=first,
            second=second,
            first_median=statistics.median(series[first][key]),
            second_median=statistics.median(series[second][key]),
            p=p,
            p_holm=p_holm,
        )
        for (first, second, key), p, p_holm in zip(pairs, p_values, holm(p_values), strict=True)
    )


def _verdicts(counts: Mapping[str, int], differences: Sequence[Difference]) -> Iterable[str]:
    """What a person may conclude."""
    if len(counts) < 2:  # noqa: PLR2004 it takes two
        (only,) = counts
        yield f"There is only {only} here, and so nothing to compare it with."
    names = {figure.key: (figure.title, figure.unit and f" {figure.unit}") for figure in FIGURES}
    for first, second in combinations(counts, 2):
        least = smallest_p(counts[first], counts[second])
        least_holm = min(1.0, least * len(differences))
        between = [one for one in differences if (one.first, one.second) == (first, second)]
        if least_holm >= SIGNIFICANCE:
            needed = enough_repeats(len(differences))
            yield (
                f"{second} against {first}: too few runs to tell anything. With {counts[first]} and {counts[second]} "
                f"the smallest possible p is {least:.2g}, or {least_holm:.2g} when corrected for "
                f"{len(differences)} tests; {needed} runs of each can tell."
            )
            continue
        for one in between:
            title, unit = names[one.figure]
            change = f"{one.first_median:.3g} → {one.second_median:.3g}{unit}"
            if one.real:
                way = "lower" if one.second_median < one.first_median else "higher"
                yield f"{second} against {first}: {title} is really {way}, {change} (p = {one.p_holm:.2g})."
            else:
                yield f"{second} against {first}: {title}, {change}, may be chance (p = {one.p_holm:.2g})."
        yield (
            f"p is of the Mann-Whitney U test, corrected by Holm for {len(differences)} tests; with {counts[first]} "
            f"and {counts[second]} runs the smallest possible is {least_holm:.2g} ({least:.2g} uncorrected)."
        )


def enough_repeats(tests: int) -> int:
    """The least number of runs a side with which so many tests can tell anything."""
    repeats = 1
    while smallest_p(repeats, repeats) * tests >= SIGNIFICANCE:
        repeats += 1
    return repeats


def _summary(values: Sequence[float]) -> Summary:
    median = statistics.median(values)
    if len(values) == 1:
        return Summary(count=1, median=median, low=None, high=None)
    # All alike: there is nothing to resample, and SciPy would warn.
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


def _rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p value; 1 when all are alike."""
    if len({*first, *second}) == 1:
        return 1.0
    stats = _library("scipy.stats")
    # Over all orders of the runs where these are few: the usual approximation is too sure of itself with ties.
    method = stats.PermutationMethod(n_resamples=RESAMPLES, rng=RNG_SEED)
    return float(stats.mannwhitneyu(first, second, alternative="two-sided", method=method).pvalue)


def _library(name: str) -> Any:  # noqa: ANN401 SciPy has no types
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingProgram("SciPy is not installed; get it with: pip install 'proj[stats]'") from error


def _wait_p95_s(attempts: Iterable[Attempt]) -> float:
    """95th percentile of the seconds from publish to start, all kinds of waiting together, by nearest rank."""
    waits = sorted(
        max(0.0, attempt.started - attempt.sent)
        for attempt in attempts
        if attempt.started is not None and attempt.sent is not None
    )
    return waits[math.ceil(0.95 * len(waits)) - 1] if waits else 0.0


def _condition(run: Run) -> str:
    """What of a run's settings must be alike, in words; empty for a run that says nothing."""
    return ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in run.settings.items()
        if key not in _NOT_CONDITIONS
    )
