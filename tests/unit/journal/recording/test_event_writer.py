"""Event writer: what events leave in a journal, and which gaps it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proj.journal.attempt import Attempt
from proj.journal.event import AdaptiveCounts
from proj.journal.heartbeats import MOST_LETTER_QUEUES
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


def beat(
    time: float, processed: int, pid: int = 1, received_at: float | None = None, **more: object
) -> tuple[float, dict[str, Any]]:
    event = {"type": "worker-heartbeat", "timestamp": time, "hostname": "w@h", "pid": pid, "processed": processed}
    event |= more
    return time + 0.01 if received_at is None else received_at, event


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
def test_event_writer_that_is_killed_and_restarted_leaves_the_same_journal(tmp_path: Path, cut: int) -> None:
    """Events that were not committed come again, and so may some that were."""
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


def test_counted_starts_without_events_are_a_gap(writer: JournalWriter) -> None:
    """The gap is written at the next heartbeat, because events of tasks may come a little after the count."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=7), task("started", 1.0), beat(2.0, processed=10)])
    before = writer.journal.gaps()
    event_writer.write([beat(4.0, processed=10), beat(6.0, processed=10)])

    assert before == []
    ((gap,), (worker,)) = writer.journal.gaps(), writer.journal.workers()
    assert (gap.began, gap.ended, gap.events) == (2.0, 4.0, 2)
    assert (worker.processed, worker.started_seen, worker.missing_events) == (3, 1, 2)


def test_start_event_that_comes_after_its_count_is_not_missing(writer: JournalWriter) -> None:
    """Workers collect events of tasks for a moment and send heartbeats at once."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), beat(2.0, processed=1), task("started", 1.9), beat(4.0, processed=1)])
    event_writer.write([beat(6.0, processed=1)])

    assert writer.journal.gaps() == []


def test_count_of_starts_continues_over_a_restart_of_the_worker(writer: JournalWriter) -> None:
    """The new process counts from 0, under the same node name."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), task("started", 1.0, "a"), beat(2.0, processed=1)])
    event_writer.write([beat(3.0, processed=0, pid=2), task("started", 3.5, "b"), beat(4.0, processed=2, pid=2)])
    event_writer.write([beat(6.0, processed=2, pid=2), beat(8.0, processed=2, pid=2)])

    (worker,) = writer.journal.workers()
    assert (worker.processed, worker.started_seen) == (3, 2)
    assert [gap.events for gap in writer.journal.gaps()] == [1]


def test_skew_is_taken_from_the_fastest_heartbeat(writer: JournalWriter) -> None:
    """A heartbeat with a long transport time does not change the skew."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(100.0, processed=0, received_at=95.0), beat(102.0, processed=0, received_at=97.5)])
    event_writer.write([beat(104.0, processed=0, received_at=999.0)])

    (worker,) = writer.journal.workers()
    assert worker.skew_s == 5.0


def test_attempt_without_a_sent_event_is_from_the_only_queue_of_its_worker(writer: JournalWriter) -> None:
    """Most producers send no events, so the queue is inferred."""
    event_writer = EventWriter(writer, run="r")
    event_writer.write_workers([Worker(name="w@h", slots=1, queues=("q",))])
    event_writer.write([task("received", 1.0)])
    event_writer.write([task("started", 1.1)])

    assert writer.journal.attempts() == [
        Attempt(task_id="t", state="started", queue="q", worker="w@h", received=1.0, started=1.1, run="r")
    ]


def test_worker_is_unknown_at_its_first_event(writer: JournalWriter) -> None:
    """It should then be asked for its settings; a producer is not a worker."""
    event_writer = EventWriter(writer)
    event_writer.write([beat(0.0, processed=0), task("sent", 0.0, hostname="producer")])

    assert event_writer.unknown_workers == {"w@h"}


def test_late_event_splits_an_attempt(writer: JournalWriter) -> None:
    """The journal is then the same as if the events had come in order."""
    event_writer = EventWriter(writer)
    event_writer.write([task("received", 3.0, hostname="w2"), task("started", 3.1, hostname="w2")])
    event_writer.write([task("received", 1.0), task("started", 1.1)])

    assert [(one.number, one.worker, one.state, one.redelivered) for one in writer.journal.attempts()] == [
        (0, "w@h", "lost", False),
        (1, "w2", "started", True),
    ]


@pytest.mark.parametrize("before", [[], [beat(-9.0, 0, pid=7), task("started", -8.0, "s"), beat(-7.0, 1, pid=7)]])
def test_start_soon_after_the_first_heartbeat_is_not_counted_twice(
    writer: JournalWriter, before: list[tuple[float, dict[str, Any]]]
) -> None:
    """A worker that starts before a full queue begins its first task at once, and again after a restart."""
    events = [beat(0.0, 0, type="worker-online"), task("started", 0.05), beat(2.0, 1), beat(4.0, 1), beat(6.0, 1)]
    EventWriter(writer).write(before)
    EventWriter(writer).write(events)

    (worker,) = writer.journal.workers()

    assert (worker.missing_events, writer.journal.gaps()) == (0, [])


def adaptive(time: float, processed: int, *counts: object, **more: Any) -> tuple[float, dict[str, Any]]:
    """A heartbeat of a worker in adaptive dispatch, with window, held and given back."""
    return beat(time, processed, **dict(zip(("window", "held", "given_back"), counts, strict=True)), **more)


#: A worker that is heard from its start, restarts twice, once under the same process id, and then in another mode.
RETURNS = [
    beat(0.0, 0, type="worker-online"),
    adaptive(2.0, 10, 8, 3, 5),
    adaptive(4.0, 20, 4, 7, 9),
    adaptive(5.0, 20, 1, 0, 11, type="worker-offline"),
    beat(10.0, 0, pid=2, type="worker-online"),
    adaptive(12.0, 10, 2, 0, 3),
    adaptive(14.0, 5, 2, 1, 1, pid=2),
    beat(20.0, 0, pid=3),
]


@pytest.mark.parametrize("cut", range(len(RETURNS) + 1))
def test_messages_given_back_are_counted_over_restarts_of_worker_and_recorder(writer: JournalWriter, cut: int) -> None:
    """A worker counts from its own start; the journal has the largest window, the most held, and the sum."""
    for part in (RETURNS[:cut], RETURNS[cut:]):
        EventWriter(writer).write(part)
        EventWriter(writer).write(part[-1:])
        writer.commit()

    (worker,), (heartbeat,) = writer.journal.workers(), writer.journal.heartbeats()

    assert (worker.window, worker.held, worker.given_back) == (8, 7, 11 + 3 + 1)
    assert heartbeat.adaptive is None


def test_messages_given_back_before_the_recording_do_not_count(writer: JournalWriter) -> None:
    """As with the tasks that a worker has started."""
    EventWriter(writer).write([adaptive(0.0, 90, 4, 0, 50), adaptive(2.0, 95, 4, 0, 52)])

    (worker,), (heartbeat,) = writer.journal.workers(), writer.journal.heartbeats()

    assert worker.given_back == 2
    assert heartbeat.adaptive == AdaptiveCounts(4, 0, 52)


#: A worker that restarts twice, once under the same process id; an offline event has its last counts.
MAKES = [
    beat(0.0, 0, type="worker-online", dead_letters={}),
    beat(2.0, 10, dead_letters={"mail": 2}),
    beat(4.0, 20, dead_letters={"mail": 3, "media": 1}),
    beat(5.0, 20, type="worker-offline", dead_letters={"mail": 4, "media": 1}),
    beat(10.0, 0, pid=2, type="worker-online", dead_letters={}),
    beat(12.0, 10, pid=2, dead_letters={"mail": 1}),
    beat(14.0, 5, pid=2, dead_letters={"mail": 2}),
    beat(16.0, 6, pid=2),
]


@pytest.mark.parametrize("cut", range(len(MAKES) + 1))
def test_dead_letters_are_counted_by_queue_over_restarts_of_worker_and_recorder(
    writer: JournalWriter, cut: int
) -> None:
    """A worker counts from its own start; the journal has the sum. A heartbeat without counts changes nothing."""
    for part in (MAKES[:cut], MAKES[cut:]):
        EventWriter(writer).write(part)
        EventWriter(writer).write(part[-1:])
        writer.commit()

    (worker,), (heartbeat,) = writer.journal.workers(), writer.journal.heartbeats()

    assert dict(worker.letters or ()) == {"mail": 4 + 1 + 2, "media": 1}
    assert heartbeat.letters_told == {"mail": 2}


def test_dead_letters_of_before_the_recording_do_not_count(writer: JournalWriter) -> None:
    """Nor does the journal grow with the names of queues that anyone may publish."""
    EventWriter(writer).write([beat(0.0, 90, dead_letters={"mail": 50}), beat(2.0, 95, dead_letters={"mail": 52})])
    forged = ({f"q{number}-{one}": 1 for one in range(50)} for number in range(20))
    EventWriter(writer).write(beat(3.0 + at, 95, dead_letters=letters) for at, letters in enumerate(forged))

    (worker,) = writer.journal.workers()

    assert worker.letters is not None
    assert (dict(worker.letters)["mail"], len(worker.letters)) == (2, MOST_LETTER_QUEUES)


@pytest.mark.parametrize(
    "counts",
    [(1.5, 0, 0), (True, 0, 0), ("4", 0, 0), (4, -1, 0), (4, 0, 2**53), (4, 0, None), (4, [], 0), (4, 0, float("nan"))],
)
def test_heartbeat_with_a_malformed_count_tells_nothing_of_adaptive_dispatch(
    writer: JournalWriter, counts: tuple[object, ...]
) -> None:
    """Anyone may publish it; its other fields count."""
    EventWriter(writer).write([adaptive(0.0, 0, 4, 0, 0), adaptive(2.0, 3, *counts)])

    (worker,) = writer.journal.workers()

    assert (worker.processed, worker.window, worker.held, worker.given_back) == (3, 4, 0, 0)


def test_forged_counts_never_grow_beyond_what_the_file_can_hold(writer: JournalWriter) -> None:
    """SQLite has integers of 64 bits; each restart that a forged heartbeat tells of adds to the sums."""
    most = 2**53 - 1
    EventWriter(writer).write(adaptive(float(time), most, most, most, most, pid=time) for time in range(1, 3000))
    writer.commit()

    (worker,) = writer.journal.workers()

    assert (worker.window, worker.given_back) == (most, 2**53)
