"""Opening a journal file: which files are refused, and what a closed journal leaves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.errors import NoJournal, UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.event import AdaptiveCounts
from proj.journal.heartbeats import HeartbeatState
from proj.journal.reader import open_journal
from proj.journal.records import Worker
from proj.journal.schema import VERSION
from proj.journal.write_lock import WriteLock
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from proj.journal.reader import JournalReader

VERSION_1 = Path(__file__).with_name("version_1.sql")
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


@pytest.fixture
def old(path: Path) -> Path:
    """A journal of version 1."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return path


def tables(path: Path) -> tuple[int, dict[str, list[str]]]:
    """The version of the file, and the columns of each table."""
    with closing(sqlite3.connect(path)) as connection:
        ((version,),) = connection.execute("PRAGMA user_version")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return version, {
            name: [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")] for name in names
        }


def contents(journal: JournalReader) -> list[object]:
    return [
        journal.runs(),
        journal.attempts(),
        journal.samples(),
        journal.gaps(),
        journal.note("queue"),
        journal.workers(),
        journal.heartbeats(),
    ]


def test_journal_of_version_1_is_read_and_unchanged(old: Path) -> None:
    """What it does not have is not known."""
    before = old.read_bytes()

    with open_journal(old) as journal:
        found = contents(journal)

    assert [type(each) if isinstance(each, str) else len(each) for each in found] == [1, 2, 1, 0, str, 1, 1]  # type: ignore[arg-type] # all the others are lists
    with open_journal(old) as journal:
        assert journal.actions() == []
    assert found[-2:] == [
        [
            Worker(
                name="w@h",
                slots=1,
                queues=("task_queue",),
                dispatch="fair",
                skew_s=pytest.approx(-0.01),
                processed=2,
                started_seen=2,
            )
        ],
        [HeartbeatState("w@h", pid=7, time=106.0, processed=2, seen=2, skew_s=pytest.approx(-0.01))],
    ]
    assert old.read_bytes() == before


def test_journal_of_version_1_is_brought_to_the_newest_when_it_is_written(old: Path, tmp_path: Path) -> None:
    """Nothing in it is lost, also for a reader that had it open, and it has the tables of a new journal."""
    told = AdaptiveCounts(window=8, held=3, given_back=5)
    with open_journal(old) as before:
        known = contents(before)
        with JournalWriter(old) as writer:
            writer.commit()
            assert contents(before) == known
            (state,) = writer.journal.heartbeats()
            state.adaptive, state.letters_told = told, {"mail": 2}
            writer.put_heartbeats([state])
            writer.put_workers([Worker(name="w@h", window=16, held=4, given_back=9, letters=(("mail", 5),))])
            writer.commit()
        (worker,), (heartbeat,) = before.workers(), before.heartbeats()
    with JournalWriter(tmp_path / "new"):
        pass

    assert (worker.slots, worker.window, worker.held, worker.given_back) == (1, 16, 4, 9)
    assert (heartbeat.processed, heartbeat.adaptive, heartbeat.given_back) == (2, told, 9)
    assert (worker.letters, heartbeat.letters_told, heartbeat.letters) == ((("mail", 5),), {"mail": 2}, {"mail": 5})
    assert tables(old) == tables(tmp_path / "new") == (VERSION, tables(tmp_path / "new")[1])


def test_journal_of_version_1_that_another_process_writes_stays_as_it_is(old: Path) -> None:
    """An older proj may be recording into it."""
    with closing(sqlite3.connect(old)) as theirs:
        lock = WriteLock(old)
        lock.acquire()
        with pytest.raises(UnreadableJournal, match="another process is writing it"):
            JournalWriter(old).start()
        theirs.execute("INSERT INTO workers (name, queues, started_seen) VALUES ('x', '[]', 0)")
    lock.close()

    assert tables(old)[0] == 1
