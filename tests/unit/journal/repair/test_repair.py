"""Damaged journals: what is refused, and what is saved of them."""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from proj.errors import NoJournal, UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.reader import open_journal
from proj.journal.records import Gap, Run, Sample, Worker
from proj.journal.repair.repair import REASON, repair
from proj.journal.schema import APPLICATION_ID
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
ATTEMPTS = [
    Attempt(
        task_id=f"task-{number:06d}",
        state="succeeded" if number % 3 else "failed",
        number=number % 2,
        name="proj.tasks.work",
        queue="task_queue",
        worker="w1@host",
        # Every hundredth is longer than a page.
        arguments="('hello...',)" if number % 100 else "ü" * 4000,
        redelivered=number % 5 == 0,
        sent=1000.0 + number,
        received=1000.25 + number,
        started=1000.5 + number,
        finished=1001 + number,
        runtime_s=0.5,
        run="fair-1",
    )
    for number in range(3000)
]
RUN = Run(name="fair-1", dispatch="fair", began=999.0, ended=5000.0, settings={"seed": 7}, machine={"host": "h"})
WORKER = Worker(
    name="w1@host",
    slots=2,
    queues=("task_queue",),
    dispatch="fair",
    started_seen=3000,
    early=("work",),
    letters=(("task_queue", 2),),
)
SAMPLES = [
    Sample(time=1000.0 + number, queue="task_queue", ready=number, unacknowledged=None, consumers=2)
    for number in range(500)
]
GAP = Gap(began=1.0, ended=2.0, events=3, reason="The broker was away.")


@pytest.fixture
def whole(path: Path) -> Path:
    """A journal with all that one has."""
    with JournalWriter(path) as writer:
        writer.add_run(RUN)
        writer.put_attempts(ATTEMPTS)
        writer.put_workers([WORKER])
        writer.put_samples(SAMPLES)
        writer.put_gaps([GAP])
        writer.put_note("queue", "celeryev.journal")
        writer.commit()
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new.sqlite"


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def root_page(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()
    return int(page)


def test_journal_without_damage_is_saved_whole(whole: Path, new: Path) -> None:
    """Every record comes back as it was, also one that is longer than a page; the old file stays as it is."""
    before = whole.read_bytes()
    before_pages = len(before) // PAGE

    pages: list[tuple[int, int]] = []
    saved = repair(whole, new, progress=lambda *read_of: pages.append(read_of))

    assert pages[-1] == (before_pages, before_pages)
    assert (saved[Attempt], saved[Run], saved[Worker], saved[Sample]) == (3000, 1, 1, 500)
    assert whole.read_bytes() == before
    with open_journal(whole) as old, open_journal(new) as journal:
        assert journal.attempts() == old.attempts() == ATTEMPTS
        assert journal.runs() == [RUN]
        assert journal.workers() == [WORKER]
        assert journal.samples() == SAMPLES
        assert journal.gaps() == [GAP, Gap(began=1000.0, ended=4000.0, events=None, reason=REASON)]
    assert sorted(entry.name for entry in new.parent.iterdir()) == sorted([whole.name, new.name])


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\r", b"a"])
def test_journal_with_an_overwritten_page_is_refused_and_the_other_pages_are_saved(
    whole: Path, new: Path, filling: bytes
) -> None:
    """A page of a table has some 30 attempts; whoever reads the rest is told of the gap."""
    table = root_page(whole, "attempts")
    for page in (table + 20, table + 40):
        overwrite(whole, PAGE * (page - 1), filling * PAGE)

    with pytest.raises(UnreadableJournal, match="journal repair"):
        open_journal(whole)
    with pytest.raises(UnreadableJournal, match="journal repair"):
        JournalWriter(whole).start()
    repair(whole, new)

    with open_journal(new) as journal:
        saved = journal.attempts()
        assert 2500 < len(saved) < 3000
        assert set(saved) <= set(ATTEMPTS)
        assert REASON in {gap.reason for gap in journal.gaps()}


def test_root_of_the_table_and_the_first_page_are_not_needed(whole: Path, new: Path) -> None:
    """Without them SQLite finds no row."""
    overwrite(whole, PAGE * (root_page(whole, "attempts") - 1), bytes(PAGE))
    overwrite(whole, 0, bytes(PAGE))

    with pytest.raises(UnreadableJournal):
        open_journal(whole)
    repair(whole, new)

    with open_journal(new) as journal:
        assert journal.attempts() == ATTEMPTS
        assert journal.runs() == [RUN]


def test_journal_that_is_cut_off_is_refused_and_its_beginning_is_saved(whole: Path, new: Path) -> None:
    """As a copy that was interrupted."""
    with whole.open("r+b") as file:
        file.truncate(whole.stat().st_size // 2 + 100)

    with pytest.raises(UnreadableJournal, match="journal repair"):
        open_journal(whole)
    repair(whole, new)

    with open_journal(new) as journal:
        assert 1000 < len(journal.attempts()) < 3000


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_in_another_error_than_ours(whole: Path, new: Path, seed: int) -> None:
    """Reading tells that the file is damaged, or reads it; saving saves something, or says that there is nothing."""
    chance = random.Random(seed)  # noqa: S311 no secret: the damage must be the same each time
    size = whole.stat().st_size
    for _ in range(chance.randrange(1, 20)):
        overwrite(whole, chance.randrange(size), chance.randbytes(chance.choice([1, 4, 100, PAGE])))

    with suppress(UnreadableJournal), open_journal(whole) as journal:
        journal.attempts()
        journal.runs()
        journal.workers()
        journal.samples()
        journal.gaps()
        journal.heartbeats()
        journal.counts()
    with suppress(UnreadableJournal):
        repair(whole, new)
        with open_journal(new) as journal:
            assert len(journal.attempts()) > 1000


def test_empty_file_and_folder_are_refused(path: Path, new: Path) -> None:
    """One sentence says what it is; no new file is made."""
    path.touch()
    with pytest.raises(UnreadableJournal, match="it is empty"):
        open_journal(path)
    with pytest.raises(UnreadableJournal, match="it is empty"):
        repair(path, new)
    with pytest.raises(UnreadableJournal, match="not a file"):
        open_journal(path.parent)
    with pytest.raises(UnreadableJournal, match="not a file"):
        repair(path.parent, new)
    with pytest.raises(NoJournal):
        repair(path.parent / "none", new)
    assert not new.exists()


@pytest.mark.parametrize("content", [b"my notes" * 10_000, b"\r" * 10_000])
def test_file_that_is_no_database_has_nothing_to_save(path: Path, new: Path, content: bytes) -> None:
    """No new file is made, and the old one stays."""
    path.write_bytes(content)

    with pytest.raises(UnreadableJournal, match="nothing to save"):
        repair(path, new)

    assert not new.exists()
    assert path.read_bytes() == content


def test_repair_never_overwrites(whole: Path) -> None:
    """The new journal must be a new file."""
    before = whole.read_bytes()

    with pytest.raises(UnreadableJournal, match="exists already"):
        repair(whole, whole)

    assert whole.read_bytes() == before


def test_what_a_killed_recorder_committed_is_saved_from_the_log_beside_the_file(whole: Path, new: Path) -> None:
    """SQLite has it in the file FILE-wal until somebody opens the journal."""
    late = Attempt(task_id="late", state="succeeded", sent=9000.0)
    with JournalWriter(whole) as writer:
        writer.put_attempts([late])
        writer.commit()
        copied = whole.with_name("copied.sqlite")
        copied.write_bytes(whole.read_bytes())
        copied.with_name("copied.sqlite-wal").write_bytes(whole.with_name(f"{whole.name}-wal").read_bytes())
        with pytest.raises(UnreadableJournal, match="another process is writing"):
            repair(whole, new)

    repair(copied, new)

    with open_journal(new) as journal:
        assert late in journal.attempts()


def test_error_while_reading_becomes_one_of_ours(whole: Path) -> None:
    """A disk may fail after the journal was opened."""
    with pytest.raises(UnreadableJournal, match="malformed"), open_journal(whole):
        raise sqlite3.DatabaseError("database disk image is malformed")
    with pytest.raises(UnreadableJournal, match="disk is full"), JournalWriter(whole):
        raise sqlite3.OperationalError("database or disk is full")


def test_setting_of_a_run_that_is_not_json_is_damage(whole: Path) -> None:
    """The pages are whole, and what they say is not."""
    with sqlite3.connect(whole) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        connection.execute("UPDATE runs SET settings = '{x'")
    connection.close()

    with pytest.raises(UnreadableJournal, match="is not JSON"), open_journal(whole) as journal:
        journal.runs()
