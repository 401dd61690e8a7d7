"""Opening a journal file: which files are refused, and what a closed journal leaves."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from proj.errors import NoJournal, UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.reader import open_journal
from proj.journal.schema import VERSION
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = Attempt(task_id="t", state="sent", sent=1.0)


def test_closed_journal_is_a_single_file(path: Path) -> None:
    """It can be copied alone, and reading it makes no further file."""
    with JournalWriter(path) as writer:
        writer.put_attempts([ATTEMPT])
        writer.commit()

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with open_journal(path) as journal:
        assert journal.attempts() == [ATTEMPT]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_missing_journal_is_an_error(path: Path) -> None:
    """Opening it to read does not make it."""
    with pytest.raises(NoJournal, match=r"no journal at .*journal.sqlite"):
        open_journal(path)

    assert not path.exists()


def test_file_that_is_no_database_is_refused_and_unchanged(path: Path) -> None:
    """It is neither read nor overwritten."""
    path.write_text("my notes, which must stay" * 100)

    with pytest.raises(UnreadableJournal):
        open_journal(path)
    with pytest.raises(UnreadableJournal):
        JournalWriter(path).start()
    assert path.read_text().startswith("my notes")


def test_database_of_another_program_is_refused(path: Path) -> None:
    """No tables are added to it."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    with pytest.raises(UnreadableJournal, match="another program"):
        open_journal(path)
    with pytest.raises(UnreadableJournal, match="another program"):
        JournalWriter(path).start()


def test_journal_of_a_newer_version_is_refused(path: Path) -> None:
    """An older proj does not know what its tables mean."""
    with JournalWriter(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    with pytest.raises(UnreadableJournal, match=f"version {VERSION + 1} is newer"):
        open_journal(path)
