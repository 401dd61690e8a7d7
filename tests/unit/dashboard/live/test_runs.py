"""The run that a task is assigned to, by marks and by silences."""

from __future__ import annotations

from typing import Any

import pytest

from proj.dashboard.live.runs import MARK_S, MOST_RUNS, RunMark, Runs, parsed_mark


def idle(_: float) -> bool:
    return True


def busy(_: float) -> bool:
    return False


def began(run: str, *queues: str) -> RunMark:
    return RunMark(run=run, state="began", queues=frozenset(queues) or None)


def ended(run: str) -> RunMark:
    return RunMark(run=run, state="ended", queues=None)


def test_task_after_five_silent_seconds_without_open_tasks_begins_a_run() -> None:
    """The run's name is the date and time of its begin, in UTC."""
    runs = Runs()
    first = runs.assign("q", 1000.0, 1000.0, idle=idle)
    same = runs.assign("q", 1004.9, 1004.9, idle=idle)
    waited = runs.assign("q", 1020.0, 1020.0, idle=busy)
    other = runs.assign("q", 1026.0, 1026.1, idle=idle)

    assert first is same is waited
    assert [run.name for run in runs] == ["1970-01-01 00:16:40", "1970-01-01 00:17:06"]
    assert (first.active, other.active, other.began) == (False, True, 1026.0)


def test_marked_run_takes_the_tasks_of_its_queues_until_its_end() -> None:
    """Tasks of other queues do not join it; a task of an unknown queue does."""
    runs = Runs()
    runs.mark(began("compared", "a", "b"), 1000.0)
    inside = [runs.assign(queue, 1001.0, 1001.0, idle=idle).name for queue in ("a", "b", None)]
    outside = runs.assign("c", 1001.0, 1001.0, idle=idle)
    runs.mark(ended("compared"), 1002.0)
    after = runs.assign("a", 1003.0, 1003.0, idle=idle)

    assert inside == ["compared"] * 3
    assert (outside.marked, after is outside) == (False, True)


def test_second_run_of_a_name_gets_a_number() -> None:
    """Two comparisons are two runs, also under one name."""
    runs = Runs()
    for _ in range(2):
        runs.mark(began("again"), 1000.0)
        runs.mark(ended("again"), 1001.0)

    assert [run.name for run in runs] == ["again", "again (2)"]


def test_marked_run_without_a_published_end_ends_after_a_silence() -> None:
    """The process that marked it may have been killed."""
    runs = Runs()
    runs.mark(began("killed"), 1000.0)

    assert runs.assign("q", 1000.0 + MARK_S - 1, 1000.0 + MARK_S - 1, idle=idle).name == "killed"
    assert runs.assign("q", 9000.0, 9000.0, idle=idle).name != "killed"


def test_flood_of_marks_does_not_remove_runs_with_attempts() -> None:
    """Anyone who can publish may mark any number of runs."""
    runs = Runs()
    real = runs.assign("q", 1000.0, 1000.0, idle=idle)
    real.attempts = 1
    for number in range(10 * MOST_RUNS):
        runs.mark(began(f"forged {number}", "nowhere"), 1000.0)

    assert len(list(runs)) == MOST_RUNS
    assert real.name in runs
    assert runs.assign("q", 1001.0, 1001.0, idle=idle) is real


@pytest.mark.parametrize("moment", [-5.0, 0.0, 1e12, 5.0])
def test_run_begins_when_its_first_event_came_if_the_time_in_it_is_impossible(moment: float) -> None:
    """The name is made of the time, and a forged time must not break it."""
    assert Runs().assign("q", moment, 1_000_000.0, idle=idle).began == 1_000_000.0


@pytest.mark.parametrize(
    ("event", "known"),
    [
        ({"run": "r", "state": "began", "queues": ["q"]}, RunMark(run="r", state="began", queues=frozenset({"q"}))),
        ({"run": " r\x00\n ", "state": "ended"}, RunMark(run="r", state="ended", queues=None)),
        ({"run": "r" * 999, "state": "ended", "queues": "q"}, RunMark(run="r" * 255, state="ended", queues=None)),
        ({"run": "r", "state": "began", "queues": [7, None, ""]}, None),
        ({"run": "r", "state": "paused"}, None),
        ({"run": "r", "state": ["began"]}, None),
        ({"run": "\n", "state": "began"}, None),
        ({"run": 7, "state": "began"}, None),
        ({"state": "began"}, None),
        ({}, None),
    ],
)
def test_mark_is_parsed_or_refused(event: dict[str, Any], known: RunMark | None) -> None:
    """Any field may be missing or wrong."""
    assert parsed_mark(event) == known
