"""What people did, in a log record and in a journal."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proj.errors import UnreadableJournal
from proj.journal.actions import PURGE, REQUEUE, recorded
from proj.journal.attempt import Attempt
from proj.journal.reader import open_journal
from proj.journal.records import Action
from proj.journal.repair.repair import repair
from proj.journal.schema import VERSION, version_of
from proj.journal.writer import JournalWriter
from proj.user import whoami

if TYPE_CHECKING:
    from pathlib import Path


def actions(path: Path) -> list[Action]:
    with open_journal(path) as journal:
        return journal.actions()


def test_action_says_who_did_what_to_how_many(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a journal that is made for it, and in the log. The journal is a single file again."""
    with caplog.at_level(logging.INFO), recorded(REQUEUE, "dead_letters: all", journal=path) as count:
        count.value = 1200

    (action,) = actions(path)
    assert (action.who, action.verb, action.what, action.count) == (whoami(), "requeue", "dead_letters: all", 1200)
    assert str(action) == f"{whoami()}: requeue dead_letters: all (1,200)"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert [(vars(each)["action"], vars(each)["verb"], vars(each)["count"]) for each in caplog.records] == [
        ("operator_action", "requeue", 1200)
    ]


def test_action_that_is_interrupted_is_recorded_as_far_as_it_got(path: Path) -> None:
    """And none that did nothing."""

    def purge() -> None:
        with recorded(PURGE, "dead_letters: all", journal=path) as count:
            count.value = 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge()
    with recorded(PURGE, "dead_letters: all", journal=path):
        pass

    assert [each.count for each in actions(path)] == [3]


def test_action_is_written_beside_a_recorder(path: Path) -> None:
    """The recorder's lock keeps out only those that write what it writes."""
    with JournalWriter(path) as recorder:
        recorder.put_attempts([Attempt(task_id="before", state="sent", sent=1.0)])
        recorder.commit()
        with recorded(PURGE, "dead_letters: all", journal=path) as count:
            count.value = 1
        recorder.put_attempts([Attempt(task_id="after", state="sent", sent=2.0)])
        recorder.commit()

    assert [each.count for each in actions(path)] == [1]
    with open_journal(path) as journal:
        assert [attempt.task_id for attempt in journal.attempts()] == ["before", "after"]


def test_older_journal_gets_the_table(path: Path) -> None:
    """It keeps what it has."""
    with JournalWriter(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE actions; ALTER TABLE workers DROP COLUMN letters; ALTER TABLE heartbeats DROP COLUMN letters; "
            "PRAGMA user_version = 3;"
        )
    assert actions(path) == []

    with recorded(PURGE, "dead_letters: all", journal=path) as count:
        count.value = 1

    assert [each.count for each in actions(path)] == [1]
    with closing(sqlite3.connect(path)) as connection:
        assert version_of(connection) == VERSION


def test_file_that_is_no_journal_is_refused_before_anything_is_done(path: Path) -> None:
    """Nothing is done that could not be recorded."""
    path.write_text("my notes" * 1000)
    done = []

    with pytest.raises(UnreadableJournal), recorded(PURGE, "dead_letters: all", journal=path):
        done.append(1)

    assert done == []


def test_repair_keeps_what_people_did(path: Path, tmp_path: Path) -> None:
    """As it keeps attempts."""
    with JournalWriter(path) as writer:
        writer.put_attempts([Attempt(task_id="t", state="sent", sent=1.0)])
        writer.put_actions([Action(time=1.0, who="a@h", verb="purge", what="dead_letters: all", count=2)])
        writer.commit()

    repair(path, tmp_path / "new.sqlite")

    assert [each.count for each in actions(tmp_path / "new.sqlite")] == [2]


def test_action_is_written_by_the_process_that_writes_the_journal(path: Path) -> None:
    """A dashboard writes its own, between two transactions of its monitor."""
    with JournalWriter(path) as writer:
        writer.commit()
        with recorded(PURGE, "dead_letters: all", journal=path, who="ann@dashboard", is_writer=True) as count:
            count.value = 1
        writer.put_attempts([Attempt(task_id="after", state="sent", sent=2.0)])
        writer.commit()

    assert [each.who for each in actions(path)] == ["ann@dashboard"]
