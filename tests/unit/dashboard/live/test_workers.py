"""Workers: which are alive, what they reported at which time, and which of their events were lost."""

from __future__ import annotations

from sys import getsizeof

from proj.dashboard.live.status import LostEvents
from proj.dashboard.live.workers import MOST_WORKERS, Workers
from proj.journal.event import WorkerEvent, parsed
from proj.journal.heartbeats import Heartbeats
from proj.journal.records import Worker


def beat(
    time: float, kind: str = "heartbeat", worker: str = "w@h", processed: int = 0, freq_s: float | None = 2.0
) -> WorkerEvent:
    return WorkerEvent(worker, kind, time, 1, processed, freq_s)


def test_worker_is_alive_until_three_heartbeats_are_missing_or_it_goes_offline() -> None:
    """The interval of the heartbeats is the one that it reports."""
    workers = Workers()
    assert workers.is_alive("w@h", 0.0) is None
    workers.add_event(beat(10.0, freq_s=5.0), 10.0)
    assert (workers.is_alive("w@h", 25.0), workers.is_alive("w@h", 25.1)) == (True, False)
    workers.add_event(beat(30.0), 30.0)
    workers.add_event(beat(30.5, "offline"), 30.5)
    assert workers.is_alive("w@h", 30.6) is False


def test_interval_of_heartbeats_is_bounded() -> None:
    """A forged heartbeat must not keep a worker alive for ever."""
    event = {"type": "worker-heartbeat", "hostname": "w@h", "timestamp": 1.0, "pid": 1, "processed": 1}

    told = [parsed({**event, "freq": freq}) for freq in (2.5, 1e10, 0, -1, "2", None)]

    assert [one.freq_s for one in told if isinstance(one, WorkerEvent)] == [2.5, 300.0, None, None, None, None]


def test_worker_keeps_the_mode_that_it_had_at_an_earlier_time() -> None:
    """The tutorial restarts a worker in another mode under its name. The earlier run must not change."""
    workers = Workers()
    workers.add_event(beat(1.0, "online"), 1.0)
    workers.update([Worker(name="w@h", slots=1, queues=("q",), dispatch="round-robin")], 2.0)
    workers.add_event(beat(100.0, "online"), 100.0)
    workers.update([Worker(name="w@h", slots=1, queues=("q",), dispatch="fair")], 103.0)

    assert [one.dispatch for at in (50.0, 99.0, 100.5) for one in workers.at(at)] == [
        "round-robin",
        "round-robin",
        "fair",
    ]


def test_worker_is_inspected_when_it_is_new_or_restarted() -> None:
    """It is not inspected with every heartbeat."""
    workers = Workers()
    asked = []
    for event in (beat(1.0), beat(2.0), beat(3.0, "online"), beat(4.0), beat(5.0, "offline"), beat(6.0)):
        workers.add_event(event, event.time)
        asked.append(bool(workers.unknown))
        workers.unknown.clear()

    assert asked == [True, False, True, False, False, True]


def test_start_that_a_worker_counted_without_an_event_is_lost() -> None:
    """A heartbeat has the count; it is compared when the next heartbeat has come."""
    workers = Workers()
    workers.add_event(beat(1.0), 1.0)
    workers.count_start("w@h", 1.5)
    workers.add_event(beat(3.0, processed=3), 3.0)
    gap = workers.add_event(beat(5.0, processed=3), 5.0)

    assert workers.lost_events() == (LostEvents(worker="w@h", lost=2),)
    assert gap is not None
    assert gap.events == 2


def test_flood_of_forged_names_is_bounded() -> None:
    """In heartbeats, in starts and in answers; `overflowed` tells that some are left out."""
    workers = Workers()
    for number in range(2 * MOST_WORKERS):
        workers.add_event(beat(1.0, worker=f"forged-{number}"), 1.0)
        workers.count_start(f"also-{number}", 1.0)
        workers.update([Worker(name=f"answer-{number}", dispatch="x" * 999, queues=("q" * 999,) * 999)], 1.0)
        workers.unknown.clear()
    workers.update([Worker(name="n" * 999)], 1.0)

    known = workers.at(1.0)
    assert len(known) == MOST_WORKERS
    assert workers.overflowed
    assert max(len(text) for one in known for text in (one.name, one.dispatch or "", *one.queues)) <= 255
    assert max(len(one.queues) for one in known) <= 100


def test_results_that_a_worker_lost_are_counted_since_it_was_first_heard() -> None:
    """Also over its restarts; a worker that is gone tells none."""
    workers = Workers()
    told = [(1, 7), (1, 9), (2, 0), (2, 1)]
    for time, (pid, lost) in enumerate(told):
        event = {"type": "worker-heartbeat", "hostname": "w@h", "timestamp": float(time), "pid": pid, "processed": 1}
        beats = parsed({**event, "results_lost": lost})
        assert isinstance(beats, WorkerEvent)
        workers.add_event(beats, float(time))

    assert workers.results_lost(4.0) == {"w@h": 3}
    assert workers.results_lost(99.0) == {}


def test_starts_are_remembered_only_until_the_next_heartbeat() -> None:
    """Those of a busy worker would fill the memory for an hour."""
    heartbeats = Heartbeats(())
    state = heartbeats.follow("w@h")
    assert state is not None
    sizes = []
    for second in range(1, 5_000):
        state.count_start(second - 0.5)
        state.add_event(beat(float(second), processed=second), second)
        sizes.append(getsizeof(vars(state)["_starts"]))

    assert (state.missing, state.as_worker.missing_events) == (0, 0)
    assert max(sizes) == sizes[0]
