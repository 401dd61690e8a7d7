"""Finder: the same is found in a journal and in memory, and arguments are shown only where that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.dashboard.web.finding.finder import LISTED, Finder, Place
from proj.journal.attempt import Attempt
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIRST = Attempt(task_id="t", state="lost", name="mail", worker="w1", arguments="('Anna',)", sent=1.0, started=2.0004)
AGAIN = Attempt(task_id="t", number=1, state="succeeded", name="mail", worker="w2", started=5.0, finished=6.0)
OTHER = Attempt(task_id="u", state="failed", name="thumbnail", worker="w1", started=2.5, finished=3.0)
TASKS = ((FIRST, AGAIN), (OTHER,))


class Memory:
    """In place of a monitor."""

    def __init__(self, *tasks: Sequence[Attempt]) -> None:
        self.tasks = tasks

    def remembered(self) -> Sequence[Sequence[Attempt]]:
        return self.tasks

    def attempts_of(self, task_id: str) -> Sequence[Attempt]:
        return next((own for own in self.tasks if own[0].task_id == task_id), ())


@pytest.fixture(params=["journal", "memory"])
def finder(request: pytest.FixtureRequest, tmp_path: Path) -> Finder:
    if request.param == "memory":
        return Finder(Memory(*TASKS), Place(None, arguments=False))
    path = tmp_path / "run.sqlite"
    with JournalWriter(path) as writer:
        writer.put_attempts(one for own in TASKS for one in own)
        writer.commit()
    return Finder(Memory(), Place(path, arguments=False))


def test_search_has_the_latest_attempts_with_what_became_of_each(finder: Finder) -> None:
    """The later attempts of a task are known, also where they do not match."""
    found = finder.search("mail worker:w1")

    assert [(one["id"], one["number"], one["of"]) for one in found["attempts"]] == [("t", 1, 2)]
    assert "then delivered again to w2" in found["attempts"][0]["outcome"]
    assert "arguments" not in found["attempts"][0]
    assert [(one["id"], one["number"]) for one in finder.search("w")["attempts"]] == [("u", 1), ("t", 2), ("t", 1)]


def test_bar_finds_what_its_worker_started_in_its_time(finder: Finder) -> None:
    """The times of a bar are rounded to milliseconds; one of several attempts has several tasks."""
    assert [one["id"] for one in finder.started("w1", 2.0, 2.0)["attempts"]] == ["t"]
    assert [one["id"] for one in finder.started("w1", 2.0, 2.5)["attempts"]] == ["u", "t"]
    assert finder.started("w2", 2.0, 2.0)["said"].startswith("No attempt in the ")


def test_task_has_all_its_attempts_and_one_that_is_not_known_says_so(finder: Finder) -> None:
    """By number."""
    assert [(one["number"], one["worker"]) for one in finder.task("t")["attempts"]] == [(1, "w1"), (2, "w2")]
    assert finder.task("x")["said"].startswith("Nothing is known of this task: the ")


def test_arguments_are_searched_and_shown_where_that_was_asked_for() -> None:
    """By the option of the dashboard."""
    found = Finder(Memory(*TASKS), Place(None, arguments=True)).search("anna")

    assert [one["arguments"] for one in found["attempts"]] == ["('Anna',)"]


def test_only_the_latest_attempts_are_listed() -> None:
    """Whoever looks for all has the command."""
    tasks = [[Attempt(task_id=f"t{number}", state="sent")] for number in range(LISTED + 1)]
    found = Finder(Memory(*tasks), Place(None, arguments=False)).search("sent")

    assert (len(found["attempts"]), found["more"]) == (LISTED, True)
    assert found["said"] == "100 attempts in the dashboard's memory, the latest of more."
