"""Reading a journal: the order and the selection of its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.journal.attempt import Attempt
from proj.journal.reader import JournalReader, open_journal
from proj.journal.records import Run, Sample

if TYPE_CHECKING:
    from pathlib import Path

    from proj.journal.writer import JournalWriter

ATTEMPT = Attempt(task_id="t", state="sent", sent=1.0)


def test_attempts_are_ordered_by_their_first_times_and_numbers(writer: JournalWriter, journal: JournalReader) -> None:
    """The first known time counts, then the number."""
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


def test_samples_of_a_run_are_those_between_its_begin_and_end(writer: JournalWriter, journal: JournalReader) -> None:
    """A run without an end has all samples after its begin."""
    writer.add_run(Run(name="r", dispatch=None, began=2.0))
    samples = [Sample(time=time, queue="q", ready=0, unacknowledged=0, consumers=0) for time in (1.0, 2.0, 3.0)]
    writer.put_samples(samples)
    writer.commit()
    open_end = journal.samples("r")
    writer.end_run("r", 2.5)
    writer.commit()

    assert (open_end, journal.samples("r")) == (samples[1:], samples[1:2])


def test_latest_attempts_are_those_whose_first_events_came_last(writer: JournalWriter, path: Path) -> None:
    """At most the given number, of all runs or of one."""
    for number in range(10):
        writer.put_attempts([Attempt(task_id=f"t{number}", state="sent", run="odd" if number % 2 else None)])
    writer.put_attempts([Attempt(task_id="t0", state="received", received=99.0)])
    writer.commit()

    with open_journal(path) as journal:
        assert [one.task_id for one in journal.latest(3)] == ["t7", "t8", "t9"]
        assert [one.task_id for one in journal.latest(2, "odd")] == ["t7", "t9"]
        assert journal.counts() == {None: 5, "odd": 5}


def test_version_changes_when_another_connection_commits(writer: JournalWriter, path: Path) -> None:
    """A reader can tell whether to read again."""
    writer.commit()
    with open_journal(path) as journal:
        before = journal.version
        assert journal.version == before
        writer.put_attempts([ATTEMPT])
        writer.commit()
        assert journal.version != before


def test_samples_between_two_times_are_the_latest_by_time(writer: JournalWriter, path: Path) -> None:
    """They are limited in number and ordered by time."""
    writer.put_samples(Sample(time=float(t), queue="q", ready=t, unacknowledged=None, consumers=0) for t in range(9))
    writer.commit()

    with open_journal(path) as journal:
        assert [sample.ready for sample in journal.samples_between(2.0, 7.0, most=3)] == [5, 6, 7]
