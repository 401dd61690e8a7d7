"""What `journal search` prints, and how it exits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from proj.commands.journal.found_table import search_journal
from proj.errors import EXIT_FAILED
from proj.journal.attempt import Attempt
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.sqlite"
    with JournalWriter(path) as writer:
        writer.put_attempts(
            [
                Attempt(task_id="t", state="lost", name="mail", worker="w1", arguments="('Anna',)", sent=1.0),
                Attempt(task_id="t", number=1, state="succeeded", name="mail", worker="w2", sent=1.0, runtime_s=2.0),
                Attempt(task_id="u", state="failed", name="\x1b[2Jbad", worker="w1", sent=3.0),
            ]
        )
        writer.commit()
    return path


def search(path: Path, *words: str, arguments: bool = False, limit: int = 50, as_json: bool = False) -> None:
    search_journal(path, words, arguments=arguments, limit=limit, as_json=as_json)


def test_every_delivery_of_a_task_is_printed_in_its_order(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what became of it; arguments only on demand."""
    search(journal, "id:t")

    told = capsys.readouterr()
    first, second = (line for line in told.out.splitlines() if line.strip().startswith("t "))
    assert "then delivered again to w2" in first
    assert "succeeded after 2.00 s" in second
    assert "Anna" not in told.out
    assert told.err == "2 attempts of 1 task.\n"


def test_json_has_arguments_only_on_demand(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the outcome of each attempt, also where the later one does not match."""
    search(journal, "worker:w1", "lost", as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["task_id"], "arguments" in found) == ("t", False)
    assert "delivered again to w2" in found["outcome"]

    search(journal, "anna", arguments=True, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["arguments"] == "('Anna',)"


def test_what_is_not_shown_or_not_found_is_said(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names cannot steer the terminal."""
    search(journal, "w1", limit=1)
    told = capsys.readouterr()
    assert "\\x1b[2Jbad" in told.out
    assert "There are more; these are the latest 1." in told.err

    with pytest.raises(SystemExit) as ended:
        search(journal, "nowhere")
    assert ended.value.code == EXIT_FAILED
    assert capsys.readouterr().err == "No attempt matches.\n"
    with pytest.raises(click.UsageError, match="Add --arguments"):
        search(journal, "arguments:anna")
