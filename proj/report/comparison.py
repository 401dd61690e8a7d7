"""Comparison: the figures of repeated runs by group, and which differences between the groups are significant."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from proj import metrics
from proj.plural import counted
from proj.report.document import workers_of
from proj.report.significance import SIGNIFICANCE, Summary, enough_repeats, holm, rank_test, smallest_p, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Run, Worker

#: Settings that may differ between runs that are compared.
_NOT_CONDITIONS = {"seed", "repeat"}
NO_SCIPY = (
    "SciPy 1.15 or later is not installed, so there are medians only, without intervals and tests. "
    "Get it with: pip install 'scipy>=1.15'"
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of a run."""

    key: str
    title: str
    #: Empty for a number without a unit.
    unit: str = ""
    #: Whether its differences are tested. Every further test makes the others less powerful.
    tested: bool = True


#: Five figures are tested, because five runs in each of two groups are then just enough: 2 / C(10, 5) · 5 < 0.05; and
#: six in each of three groups: 2 / C(12, 6) · 15 < 0.05.
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
    """The figures of one run."""

    run: str
    #: The runs that it is repeated with: its dispatch mode, with the file if several files have that mode.
    group: str
    #: The settings that must be equal in runs that are compared, as text: workload, workers and so on.
    condition: str
    #: By the key of the figure.
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure of one group compared with that of another group."""

    figure: str
    first: str
    second: str
    first_median: float
    second_median: float
    #: See `rank_test`.
    p: float
    #: The same, corrected by `holm` for all tests of the comparison.
    p_holm: float

    @property
    def real(self) -> bool:
        """Whether the difference is significant."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The groups of runs under one condition."""

    condition: str
    #: The summary of each figure by its key, by group; in the order in which the groups came.
    groups: Mapping[str, Mapping[str, Summary]]
    differences: tuple[Difference, ...]
    #: Sentences that tell which differences are significant, and where there are too few runs to tell.
    verdicts: tuple[str, ...]


def figures_of_run(run: Run, attempts: Sequence[Attempt], workers: Sequence[Worker], *, group: str) -> RunFigures:
    """The figures of one run, from its attempts and the workers of its journal."""
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


def compare(runs: Iterable[RunFigures]) -> list[Comparison]:
    """One comparison for each condition, in the order in which the runs came.

    Differences are tested by `rank_test` and corrected by `holm` for all tests of a comparison. Without SciPy nothing
    is tested, and a verdict says so.
    """
    by_condition: dict[str, dict[str, list[RunFigures]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_condition[run.condition][run.group].append(run)
    return [_compare(condition, groups) for condition, groups in by_condition.items()]


def _compare(condition: str, groups: Mapping[str, Sequence[RunFigures]]) -> Comparison:
    values = {
        name: {figure.key: [run.values[figure.key] for run in runs] for figure in FIGURES}
        for name, runs in groups.items()
    }
    differences = _differences(values)
    summaries = {name: {key: summary(of_key) for key, of_key in by_key.items()} for name, by_key in values.items()}
    verdicts = list(_verdicts({name: len(runs) for name, runs in groups.items()}, differences))
    untested = len(groups) > 1 and not differences
    if untested or any(one.count > 1 and one.low is None for each in summaries.values() for one in each.values()):
        verdicts.append(NO_SCIPY)
    return Comparison(condition=condition, groups=summaries, differences=differences, verdicts=tuple(verdicts))


def _differences(values: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Difference, ...]:
    pairs = [(first, second, figure.key) for first, second in combinations(values, 2) for figure in TESTED]
    tested = [rank_test(values[first][key], values[second][key]) for first, second, key in pairs]
    p_values = [p for p in tested if p is not None]
    if len(p_values) < len(pairs):
        return ()
    return tuple(
        Difference(
            figure=key,
            first=first,
            second=second,
            first_median=statistics.median(values[first][key]),
            second_median=statistics.median(values[second][key]),
            p=p,
            p_holm=p_holm,
        )
        for (first, second, key), p, p_holm in zip(pairs, p_values, holm(p_values), strict=True)
    )


def _verdicts(counts: Mapping[str, int], differences: Sequence[Difference]) -> Iterator[str]:
    """Sentences about each pair of groups; `counts` has the number of runs of each group."""
    if len(counts) == 1:
        (only,) = counts
        yield f"Only the group {only} was measured; there is no other group to compare it with."
    tests = math.comb(len(counts), 2) * len(TESTED)
    for first, second in combinations(counts, 2):
        least = smallest_p(counts[first], counts[second])
        least_corrected = min(1.0, least * tests)
        if least_corrected >= SIGNIFICANCE:
            needed = enough_repeats(tests)
            runs = f"{counts[first]} and {counted(counts[second], 'run')}"
            yield (
                f"{second} against {first}: too few runs to tell anything. With {runs} the smallest possible p is "
                f"{least:.2g}, or {least_corrected:.2g} when corrected for {tests} tests; at least {needed} runs of "
                "each are needed."
            )
            continue
        if not differences:
            continue
        for one in differences:
            if (one.first, one.second) == (first, second):
                yield f"{second} against {first}: {_verdict(one)}"
        yield (
            f"p is of the Mann-Whitney U test, corrected by Holm for {tests} tests; with {counts[first]} "
            f"and {counts[second]} runs the smallest possible is {least_corrected:.2g} ({least:.2g} uncorrected)."
        )


def _verdict(difference: Difference) -> str:
    figure = next(one for one in FIGURES if one.key == difference.figure)
    unit = figure.unit and f" {figure.unit}"
    change = f"{difference.first_median:.3g} → {difference.second_median:.3g}{unit}"
    if not difference.real:
        return f"{figure.title}, {change}, may differ by chance (p = {difference.p_holm:.2g})."
    way = "lower" if difference.second_median < difference.first_median else "higher"
    return f"{figure.title} is significantly {way}, {change} (p = {difference.p_holm:.2g})."


def _wait_p95_s(attempts: Iterable[Attempt]) -> float:
    """The 95th percentile of the seconds from `sent` to `started`, by nearest rank; 0.0 if no attempt has both."""
    waits = (
        max(0.0, attempt.started - attempt.sent)
        for attempt in attempts
        if attempt.started is not None and attempt.sent is not None
    )
    return metrics.distribution(waits).p95


def _condition(run: Run) -> str:
    """The settings of a run that must be equal in runs that are compared, as text; empty if it has no settings."""
    return ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in run.settings.items()
        if key not in _NOT_CONDITIONS
    )
