"""Comparison: which differences between groups of runs are significant."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.journal.attempt import Attempt
from proj.journal.records import Run, Worker
from proj.report.comparison import (
    FIGURES,
    NO_SCIPY,
    TESTED,
    RunFigures,
    compare,
    figures_of_run,
)
from proj.report.significance import enough_repeats, holm, rank_test, smallest_p

if TYPE_CHECKING:
    from collections.abc import Sequence


def runs(group: str, values: Sequence[float], *, condition: str = "") -> list[RunFigures]:
    """One run for each value, which all figures of the run have."""
    return [
        RunFigures(run=f"{group}-{place}", group=group, condition=condition, values={f.key: value for f in FIGURES})
        for place, value in enumerate(values)
    ]


def test_separate_groups_of_five_runs_differ_significantly() -> None:
    """Five runs in each group are just enough: p is 2 / C(10, 5) for each figure, times five tests."""
    (answer,) = compare([*runs("slow", [5.1, 5.2, 5.3, 5.4, 5.5]), *runs("fast", [1.1, 1.2, 1.3, 1.4, 1.5])])

    assert [one.figure for one in answer.differences] == [figure.key for figure in TESTED]
    assert [one.p for one in answer.differences] == pytest.approx([2 / math.comb(10, 5)] * 5)
    assert [one.p_holm for one in answer.differences] == pytest.approx([10 / math.comb(10, 5)] * 5)
    assert all(one.real for one in answer.differences)
    assert "fast against slow: makespan is significantly lower, 5.3 → 1.3 s (p = 0.04)." in answer.verdicts


def test_separate_groups_differ_significantly_although_all_runs_of_one_are_equal() -> None:
    """Ties give neither a smaller p than the number of runs allows, nor a larger one."""
    (answer,) = compare([*runs("even", [1.0] * 5), *runs("odd", [0.61, 0.62, 0.62, 0.63, 0.64])])

    assert [one.p for one in answer.differences] == pytest.approx([2 / math.comb(10, 5)] * 5)


def test_overlapping_groups_may_differ_by_chance() -> None:
    """The verdict says so."""
    (answer,) = compare([*runs("a", [1.0, 2.0, 3.0, 4.0, 5.0]), *runs("b", [1.5, 2.5, 2.9, 4.5, 5.5])])

    assert not any(one.real for one in answer.differences)
    assert any("makespan" in verdict and "may differ by chance" in verdict for verdict in answer.verdicts)


def test_equal_groups_have_a_p_of_one() -> None:
    """Equal values are not tested, and SciPy does not warn."""
    (answer,) = compare([*runs("a", [1.0] * 5), *runs("b", [1.0] * 5)])

    assert {one.p_holm for one in answer.differences} == {1.0}


def test_verdict_on_too_few_runs_tells_how_many_are_needed() -> None:
    """Three runs are too few however different they are: the verdict tells the smallest possible p."""
    (answer,) = compare([*runs("slow", [5.1, 5.2, 5.3]), *runs("fast", [1.1, 1.2, 1.3])])

    assert not any(one.real for one in answer.differences)
    (verdict,) = answer.verdicts
    assert "too few runs" in verdict
    assert "With 3 and 3 runs the smallest possible p is 0.1" in verdict
    assert "at least 5 runs of each are needed" in verdict


def test_one_run_has_a_median_and_no_interval() -> None:
    """An interval needs at least two runs."""
    (answer,) = compare(runs("only", [2.0]))

    summary = answer.groups["only"]["makespan_s"]
    assert (summary.count, summary.median, summary.low, summary.high) == (1, 2.0, None, None)
    assert answer.verdicts == ("Only the group only was measured; there is no other group to compare it with.",)


def test_interval_contains_the_median_and_is_reproducible() -> None:
    """It lies within the measured values, and the same values give the same interval."""
    first, second = (compare(runs("a", [1.0, 2.0, 3.0, 4.0, 9.0]))[0].groups["a"]["makespan_s"] for _ in range(2))

    assert first == second
    assert first.low is not None
    assert first.high is not None
    assert 1.0 <= first.low < first.median == 3.0 < first.high <= 9.0


def test_runs_under_different_conditions_are_compared_separately() -> None:
    """Only runs of the same workload are compared."""
    measured = [*runs("fair", [1.0], condition="odd-heavy"), *runs("fair", [9.0], condition="bursts")]

    answers = compare(measured)

    assert [(answer.condition, answer.groups["fair"]["ratio"].median) for answer in answers] == [
        ("odd-heavy", 1.0),
        ("bursts", 9.0),
    ]


def test_three_groups_are_compared_in_pairs() -> None:
    """P is corrected for fifteen tests, for which five runs are too few."""
    (answer,) = compare(
        [measured for group, at in (("a", 1.0), ("b", 2.0), ("c", 3.0)) for measured in runs(group, [at] * 5)]
    )

    assert len(answer.differences) == 3 * len(TESTED)
    assert all("at least 6 runs of each are needed" in verdict for verdict in answer.verdicts)


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    """The expected values are computed by hand from Holm's procedure."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_smallest_p_is_two_over_the_number_of_orders() -> None:
    """In two of all orders the groups are separate; with one run in each group p is always 1."""
    assert smallest_p(3, 3) == pytest.approx(0.1)
    assert smallest_p(1, 1) == 1.0
    assert enough_repeats(1) == 4
    assert enough_repeats(len(TESTED)) == 5


def test_figures_of_a_run_use_its_own_workers() -> None:
    """A worker of the run without an attempt counts, a worker of another run does not."""
    attempts = [
        Attempt(
            task_id=str(number),
            state="succeeded",
            queue="q.fair-1",
            worker="worker-1@fair-1",
            sent=0.0,
            received=0.0,
            started=float(number),
            finished=number + 1.0,
            runtime_s=1.0,
            run="fair-1",
        )
        for number in range(20)
    ]
    workers = [
        Worker(name=f"worker-{number}@{run}", slots=1, queues=(f"q.{run}",), dispatch="fair")
        for run in ("fair-1", "fair-2")
        for number in (1, 2)
    ]
    run = Run(name="fair-1", dispatch="fair", began=0.0, settings={"workload": "odd-heavy", "seed": 7, "workers": 2})

    measured = figures_of_run(run, attempts, workers, group="fair")

    assert measured.condition == "workload odd-heavy, workers 2"
    assert measured.values["jain_busy"] == pytest.approx(0.5)
    assert measured.values["makespan_s"] == 20.0
    assert measured.values["wait_p95_s"] == 18.0


@pytest.fixture(params=["missing", "1.14.1"])
def without_scipy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SciPy, or one whose resampling does not take `rng`."""

    def load(name: str) -> Any:
        if request.param == "missing" or name != "scipy":
            raise ImportError(name)
        return SimpleNamespace(__version__=request.param)

    monkeypatch.setattr("proj.report.significance.importlib.import_module", load)


@pytest.mark.usefixtures("without_scipy")
def test_comparison_without_scipy_has_the_medians_and_says_what_is_missing() -> None:
    """SciPy is an extra that only intervals and tests need."""
    (answer,) = compare([*runs("a", [1.0, 2.0, 4.0, 5.0, 6.0]), *runs("b", [1.5, 2.5, 3.0, 3.5, 4.5])])

    assert {name: each["makespan_s"].median for name, each in answer.groups.items()} == {"a": 4.0, "b": 3.0}
    assert {each["makespan_s"].low for each in answer.groups.values()} == {None}
    assert answer.differences == ()
    assert answer.verdicts == (NO_SCIPY,)


@pytest.mark.usefixtures("without_scipy")
def test_comparison_without_scipy_still_tells_that_there_are_too_few_runs() -> None:
    """One run a mode needs no SciPy, and two give the same sentence with or without it."""
    (one,) = compare([*runs("a", [1.0]), *runs("b", [2.0])])
    (two,) = compare([*runs("a", [1.0, 1.1]), *runs("b", [2.0, 2.1])])

    assert [verdict[:39] for verdict in one.verdicts] == ["b against a: too few runs to tell anyth"]
    assert two.verdicts[0].startswith("b against a: too few runs to tell anything. With 2 and 2")
    assert two.verdicts[1:] == (NO_SCIPY,)


def test_comparison_of_one_run_a_mode_calls_no_difference_significant() -> None:
    """`lab run` without --repeat makes such a journal. A rank test needs more runs; the medians are shown anyway."""
    assert rank_test([20.0], [10.5]) == 1.0
    assert rank_test([20.0], [10.5, 10.6, 10.7]) == 1.0
