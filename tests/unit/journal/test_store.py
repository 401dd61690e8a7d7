"""The journal's file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from proj.errors import NoJournal, UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.reader import JournalReader, open_journal
from proj.journal.records import Gap, Run, Sample, Worker
from proj.journal.schema import VERSION
from proj.journal.write_lock import WriteLock
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTEMPT = Attempt(
    task_id="t",
    state="succeeded",
    number=1,
    name="proj.tasks.work",
    queue="q",
    worker="w@h",
    arguments="('a.',)",
    retries=2,
    redelivered=True,
    eta=0.5,
    sent=1.0,
    received=2.0,
    started=3.0,
    finished=4.0,
    runtime_s=0.9,
    run="r",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(path) as writer:
        yield writer


@pytest.fixture
def journal(writer: JournalWriter, path: Path) -> Iterator[JournalReader]:
    writer.commit()
    with open_journal(path) as journal:
        yield journal


def test_journal_gives_back_what_was_written(writer: JournalWriter, journal: JournalReader) -> None:
    """Every field of every kind of record."""
    run = Run(name="r", dispatch="fair", began=0.0, settings={"seed": 7}, machine={"cpus": 2})
    worker = Worker(name="w@h", slots=2, queues=("q",), dispatch="fair", skew_s=-0.1, processed=3, started_seen=2)
    sample = Sample(time=1.0, queue="q", ready=5, unacknowledged=None, consumers=1)
    gap = Gap(began=1.0, ended=2.0, events=None, reason="The broker was away.")

    writer.add_run(run)
    writer.put_attempts([ATTEMPT])
    writer.put_workers([worker])
    writer.put_samples([sample])
    writer.put_gaps([gap])
    writer.put_note("queue", "events")
    writer.commit()

    assert (journal.runs(), journal.attempts(), journal.workers()) == ([run], [ATTEMPT], [worker])
    assert (journal.samples(), journal.gaps(), journal.note("queue")) == ([sample], [gap], "events")


def test_journal_shows_only_what_is_committed(writer: JournalWriter, journal: JournalReader) -> None:
    """What a killed writer was at is as if it had never been put."""
    writer.put_attempts([ATTEMPT])

    assert journal.attempts() == []
    assert writer.journal.attempts() == [ATTEMPT]


def test_writer_fills_in_and_never_overwrites(writer: JournalWriter, journal: JournalReader) -> None:
    """None says nothing, a known time stays, and a state only goes forward."""
    writer.put_attempts([Attempt(task_id="t", state="sent", sent=1.0)])
    writer.put_attempts([Attempt(task_id="t", state="started", worker="w", received=2.0, started=3.0)])
    writer.put_attempts([Attempt(task_id="t", state="received", received=9.0, queue="q")])
    writer.commit()

    assert journal.attempts() == [
        Attempt(task_id="t", state="started", worker="w", queue="q", sent=1.0, received=2.0, started=3.0)
    ]


@pytest.mark.parametrize(("known", "told", "kept"), [("lost", "succeeded", "succeeded"), ("failed", "lost", "failed")])
def test_writer_takes_an_end_over_a_guess(
    writer: JournalWriter, journal: JournalReader, known: str, told: str, kept: str
) -> None:
    """An attempt that seemed lost and then ended was not lost; one that ended cannot be lost any more."""
    writer.put_attempts([Attempt(task_id="t", state=known)])
    writer.put_attempts([Attempt(task_id="t", state=told)])
    writer.commit()

    assert journal.states() == {kept: 1}


def test_writer_puts_the_same_twice_as_once(writer: JournalWriter, journal: JournalReader) -> None:
    """What is told again after a crash changes nothing."""
    for _ in range(2):
        writer.put_attempts([ATTEMPT])
        writer.put_gaps([Gap(began=1.0, ended=2.0, events=3, reason="Lost.")])
        writer.put_workers([Worker(name="w", processed=3, started_seen=3)])
    writer.commit()

    assert journal.attempts() == [ATTEMPT]
    assert len(journal.gaps()) == 1
    assert journal.workers() == [Worker(name="w", processed=3, started_seen=3)]


def test_worker_that_says_less_keeps_what_it_said(writer: JournalWriter, journal: JournalReader) -> None:
    """A worker that is too busy to answer still has its slots and queues."""
    writer.put_workers([Worker(name="w", slots=2, queues=("q",), dispatch="fair", processed=5, started_seen=5)])
    writer.put_workers([Worker(name="w", skew_s=0.2, started_seen=6)])
    writer.commit()

    assert journal.workers() == [
        Worker(name="w", slots=2, queues=("q",), dispatch="fair", skew_s=0.2, processed=5, started_seen=6)
    ]


def test_attempts_come_in_the_order_of_their_times(writer: JournalWriter, journal: JournalReader) -> None:
    """By what is known first, then by number."""
    attempts = [
        Attempt(task_id="a", state="sent", sent=1.0),
        Attempt(task_id="b", state="lost", number=0, sent=2.0),
        Attempt(task_id="b", state="received", number=1, sent=2.0, run="r"),
        Attempt(task_id="c", state="received", received=3.0),
    ]
    writer.put_attempts(reversed(attempts))
    writer.commit()

    assert journal.attempts() == attempts
    assert journal.attempts("r") == [attempts[2]]
    assert journal.attempts_of(["b", "z"]) == {"b": attempts[1:3]}


def test_samples_of_a_run_are_those_in_its_time(writer: JournalWriter, journal: JournalReader) -> None:
    """From its begin to its end, or to now."""
    writer.add_run(Run(name="r", dispatch=None, began=2.0))
    samples = [Sample(time=time, queue="q", ready=0, unacknowledged=0, consumers=0) for time in (1.0, 2.0, 3.0)]
    writer.put_samples(samples)
    writer.commit()
    open_end = journal.samples("r")
    writer.end_run("r", 2.5)
    writer.commit()

    assert (open_end, journal.samples("r")) == (samples[1:], samples[1:2])


def test_replaced_attempts_leave_nothing_of_the_old(writer: JournalWriter, journal: JournalReader) -> None:
    """When late events tell that one attempt was two."""
    writer.put_attempts([Attempt(task_id="t", state="succeeded", received=1.0, finished=5.0)])
    split = [
        Attempt(task_id="t", state="returned", received=1.0),
        Attempt(task_id="t", state="succeeded", number=1, received=2.0, finished=5.0),
    ]
    writer.replace_attempts(split)
    writer.commit()

    assert journal.attempts() == split


def test_closed_journal_is_one_file_that_a_read_only_folder_can_hold(path: Path) -> None:
    """So that it can be sent to someone, or lie in an archive."""
    with JournalWriter(path) as writer:
        writer.put_attempts([ATTEMPT])
        writer.commit()

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with open_journal(path) as journal:
        assert journal.attempts() == [ATTEMPT]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_missing_journal_is_refused_in_one_sentence(path: Path) -> None:
    """And is not made by looking for it."""
    with pytest.raises(NoJournal, match=r"no journal at .*journal.sqlite"):
        open_journal(path)

    assert not path.exists()


def test_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    """Neither read nor written over."""
    path.write_text("my notes, which nobody may overwrite" * 100)

    with pytest.raises(UnreadableJournal):
        open_journal(path)
    with pytest.raises(UnreadableJournal):
        JournalWriter(path).start()
    assert path.read_text().startswith("my notes")


def test_other_program_s_database_is_refused(path: Path) -> None:
    """Its tables are not for us to add to."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    with pytest.raises(UnreadableJournal, match="another program"):
        open_journal(path)
    with pytest.raises(UnreadableJournal, match="another program"):
        JournalWriter(path).start()


def test_journal_of_a_newer_version_is_refused(path: Path) -> None:
    """What it means is not known here."""
    with JournalWriter(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    with pytest.raises(UnreadableJournal, match=f"version {VERSION + 1} is newer"):
        open_journal(path)


def test_journal_has_one_writer_at_a_time(path: Path, writer: JournalWriter) -> None:
    """Whoever comes second is refused in one sentence, and the first goes on."""
    with pytest.raises(UnreadableJournal, match="another process is writing it"):
        JournalWriter(path).start()

    writer.put_attempts([ATTEMPT])
    writer.commit()
    writer.stop()
    with JournalWriter(path) as after:
        assert after.journal.attempts() == [ATTEMPT]


def test_reader_can_tell_whether_a_journal_is_being_written(path: Path, writer: JournalWriter) -> None:
    """By the writer's lock, which ends with it."""
    lock = WriteLock(path)
    written = lock.is_held()
    writer.stop()

    assert (written, lock.is_held()) == (True, False)
    lock.close()


def test_latest_attempts_are_those_that_were_first_heard_of_last(writer: JournalWriter, path: Path) -> None:
    """Of all runs or of one; they are few, however long the journal is."""
    for number in range(10):
        writer.put_attempts([Attempt(task_id=f"t{number}", state="sent", run="odd" if number % 2 else None)])
    writer.put_attempts([Attempt(task_id="t0", state="received", received=99.0)])
    writer.commit()

    with open_journal(path) as journal:
        assert [one.task_id for one in journal.latest(3)] == ["t7", "t8", "t9"]
        assert [one.task_id for one in journal.latest(2, "odd")] == ["t7", "t9"]
        assert journal.counts() == {None: 5, "odd": 5}


def test_reader_sees_that_something_was_written(writer: JournalWriter, path: Path) -> None:
    """Without reading it all again."""
    writer.commit()
    with open_journal(path) as journal:
        before = journal.version
        assert journal.version == before
        writer.put_attempts([ATTEMPT])
        writer.commit()
        assert journal.version != before


def test_samples_between_two_times_are_the_latest_of_them(writer: JournalWriter, path: Path) -> None:
    """In the order of their times."""
    writer.put_samples(Sample(time=float(t), queue="q", ready=t, unacknowledged=None, consumers=0) for t in range(9))
    writer.commit()

    with open_journal(path) as journal:
        assert [sample.ready for sample in journal.samples_between(2.0, 7.0, most=3)] == [5, 6, 7]
