"""Writing a journal, and reading it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.journal.records import Gap, Run, Sample, Worker

if TYPE_CHECKING:
    from proj.journal.reader import JournalReader
    from proj.journal.writer import JournalWriter

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


def test_reader_returns_what_was_written(writer: JournalWriter, journal: JournalReader) -> None:
    """Every field of every kind of record comes back."""
    run = Run(name="r", dispatch="fair", began=0.0, settings={"seed": 7}, machine={"cpus": 2})
    worker = Worker(
        name="w@h", slots=2, queues=("q",), dispatch="fair", skew_s=-0.1, processed=3, started_seen=2, early=("a",)
    )
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


def test_reader_sees_only_what_is_committed(writer: JournalWriter, journal: JournalReader) -> None:
    """Records that a killed writer had not committed do not exist."""
    writer.put_attempts([ATTEMPT])

    assert journal.attempts() == []
    assert writer.journal.attempts() == [ATTEMPT]


def test_put_attempts_fills_in_unknown_fields_only(writer: JournalWriter, journal: JournalReader) -> None:
    """None changes nothing, a known time stays, and a state only goes forward."""
    writer.put_attempts([Attempt(task_id="t", state="sent", sent=1.0)])
    writer.put_attempts([Attempt(task_id="t", state="started", worker="w", received=2.0, started=3.0)])
    writer.put_attempts([Attempt(task_id="t", state="received", received=9.0, queue="q")])
    writer.commit()

    assert journal.attempts() == [
        Attempt(task_id="t", state="started", worker="w", queue="q", sent=1.0, received=2.0, started=3.0)
    ]


@pytest.mark.parametrize(
    ("known", "written", "kept"), [("lost", "succeeded", "succeeded"), ("failed", "lost", "failed")]
)
def test_end_replaces_the_state_lost_and_never_the_other_way_round(
    writer: JournalWriter, journal: JournalReader, known: str, written: str, kept: str
) -> None:
    """An attempt that seemed lost and then ended was not lost."""
    writer.put_attempts([Attempt(task_id="t", state=known)])
    writer.put_attempts([Attempt(task_id="t", state=written)])
    writer.commit()

    assert journal.states() == {kept: 1}


def test_writing_the_same_twice_changes_nothing(writer: JournalWriter, journal: JournalReader) -> None:
    """After a crash, events come again."""
    for _ in range(2):
        writer.put_attempts([ATTEMPT])
        writer.put_gaps([Gap(began=1.0, ended=2.0, events=3, reason="Lost.")])
        writer.put_workers([Worker(name="w", processed=3, started_seen=3)])
    writer.commit()

    assert journal.attempts() == [ATTEMPT]
    assert len(journal.gaps()) == 1
    assert journal.workers() == [Worker(name="w", processed=3, started_seen=3)]


def test_worker_keeps_what_a_later_record_does_not_have(writer: JournalWriter, journal: JournalReader) -> None:
    """A worker that is too busy to answer keeps its slots and queues."""
    writer.put_workers(
        [Worker(name="w", slots=2, queues=("q",), dispatch="fair", processed=5, started_seen=5, early=())]
    )
    writer.put_workers([Worker(name="w", skew_s=0.2, started_seen=6)])
    writer.commit()

    assert journal.workers() == [
        Worker(name="w", slots=2, queues=("q",), dispatch="fair", skew_s=0.2, processed=5, started_seen=6, early=())
    ]


def test_replaced_attempts_are_deleted(writer: JournalWriter, journal: JournalReader) -> None:
    """Late events can show that one attempt was two."""
    writer.put_attempts([Attempt(task_id="t", state="succeeded", received=1.0, finished=5.0)])
    split = [
        Attempt(task_id="t", state="returned", received=1.0),
        Attempt(task_id="t", state="succeeded", number=1, received=2.0, finished=5.0),
    ]
    writer.replace_attempts(split)
    writer.commit()

    assert journal.attempts() == split
