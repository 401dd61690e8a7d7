"""What events leave in a journal, and what is known to be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proj.journal.attempt import Attempt
from proj.journal.recording.event_writer import EventWriter
from proj.journal.records import Worker
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.journal.records import Gap


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(tmp_path / "journal.sqlite") as writer:
        yield writer


def task(kind: str, time: float, task_id: str = "t", **more: object) -> tuple[float, dict[str, Any]]:
    return time + 0.01, {"type": f"task-{kind}", "uuid": task_id, "timestamp": time, "hostname": "w@h", **more}


def beat(time: float, processed: int, pid: int = 1, heard: float | None = None) -> tuple[float, dict[str, Any]]:
    told = {"type": "worker-heartbeat", "timestamp": time, "hostname": "w@h", "pid": pid, "processed": processed}
    return time + 0.01 if heard is None else heard, told


STORY = [
    beat(0.0, processed=0),
    task("received", 1.0),
    task("started", 1.1),
    beat(2.0, processed=1),
    task("received", 3.0, redelivered=True),
    task("started", 3.1),
    beat(4.0, processed=2),
    task("succeeded", 4.1, runtime=1.0),
    beat(6.0, processed=2),
]


def journal(writer: JournalWriter) -> tuple[list[Attempt], list[Worker], list[Gap]]:
    read = writer.journal
    return read.attempts(), read.workers(), read.gaps()


@pytest.mark.parametrize("cut", range(len(STORY)))
def test_scribe_that_is_killed_and_starts_again_leaves_the_same_journal(tmp_path: Path, cut: int) -> None:
    """What was not committed is told again, and so may be some of what was."""
    with JournalWriter(tmp_path / "whole") as writer:
        EventWriter(writer).write(STORY)
        whole = journal(writer)

    with JournalWriter(tmp_path / "cut") as writer:
        EventWriter(writer).write(STORY[:cut])
        writer.commit()
        EventWriter(writer).write(STORY[cut:])
    with JournalWriter(tmp_path / "cut") as writer:
        EventWriter(writer).write(STORY[max(0, cut - 3) :])
        again = journal(writer)

    assert again == whole
    assert [attempt.state for attempt in whole[0]] == ["lost", "succeeded"]
    assert whole[1:] == ([Worker(name="w@h", skew_s=pytest.approx(-0.01), processed=2, started_seen=2)], [])


def test_starts_that_a_worker_counted_and_nobody_heard_of_are_a_gap(writer: JournalWriter) -> None:
    """Known once the next heartbeat is there, for events of tasks may come a little after the count."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=7), task("started", 1.0), beat(2.0, processed=10)])
    before = writer.journal.gaps()
    event_writer.write([beat(4.0, processed=10), beat(6.0, processed=10)])

    assert before == []
    ((gap,), (worker,)) = writer.journal.gaps(), writer.journal.workers()
    assert (gap.began, gap.ended, gap.events) == (2.0, 4.0, 2)
    assert (worker.processed, worker.started_seen, worker.missing_events) == (3, 1, 2)


def test_start_that_is_told_after_its_count_is_not_missing(writer: JournalWriter) -> None:
    """Workers collect events of tasks for a moment, and send heartbeats at once."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), beat(2.0, processed=1), task("started", 1.9), beat(4.0, processed=1)])
    event_writer.write([beat(6.0, processed=1)])

    assert writer.journal.gaps() == []


def test_worker_that_starts_anew_goes_on_counting(writer: JournalWriter) -> None:
    """Its own count begins at 0, under the same name."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), task("started", 1.0, "a"), beat(2.0, processed=1)])
    event_writer.write([beat(3.0, processed=0, pid=2), task("started", 3.5, "b"), beat(4.0, processed=2, pid=2)])
    event_writer.write([beat(6.0, processed=2, pid=2), beat(8.0, processed=2, pid=2)])

    (worker,) = writer.journal.workers()
    assert (worker.processed, worker.started_seen) == (3, 2)
    assert [gap.events for gap in writer.journal.gaps()] == [1]


def test_skew_of_a_clock_is_the_least_that_was_seen(writer: JournalWriter) -> None:
    """An event that was long on its way says nothing of the clock; and no time zone shifts a timestamp."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(100.0, processed=0, heard=95.0), beat(102.0, processed=0, heard=97.5)])
    event_writer.write([beat(104.0, processed=0, heard=999.0)])

    (worker,) = writer.journal.workers()
    assert worker.skew_s == 5.0


def test_attempt_without_a_sent_event_is_of_its_worker_s_only_queue(writer: JournalWriter) -> None:
    """Most producers send no events; and what a sent event says later is the same."""
    event_writer = EventWriter(writer, run="r")
    event_writer.write_workers([Worker(name="w@h", slots=1, queues=("q",))])
    event_writer.write([task("received", 1.0)])
    event_writer.write([task("started", 1.1)])

    assert writer.journal.attempts() == [
        Attempt(task_id="t", state="started", queue="q", worker="w@h", received=1.0, started=1.1, run="r")
    ]


def test_strangers_are_workers_that_were_not_heard_of_before(writer: JournalWriter) -> None:
    """They are to be asked what they are."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), task("sent", 0.0, hostname="producer")])

    assert event_writer.unknown_workers == {"w@h"}


def test_event_that_comes_late_tells_apart_what_seemed_one_attempt(writer: JournalWriter) -> None:
    """The journal then says what it would have said, had the events come in their order."""
    event_writer = EventWriter(writer)
    event_writer.write([task("received", 3.0, hostname="w2"), task("started", 3.1, hostname="w2")])
    event_writer.write([task("received", 1.0), task("started", 1.1)])

    assert [(one.number, one.worker, one.state, one.redelivered) for one in writer.journal.attempts()] == [
        (0, "w@h", "lost", False),
        (1, "w2", "started", True),
    ]
