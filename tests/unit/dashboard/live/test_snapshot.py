"""The snapshot, and the monitor that computes it, without a broker."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.broker.queue_depths import Depth
from proj.dashboard.live import monitor as module
from proj.dashboard.live.broker_poll import BrokerState
from proj.dashboard.live.groups import MOST_GROUPS
from proj.dashboard.live.monitor import Monitor, Settings
from proj.dashboard.live.snapshot import event_counts, readings, snapshot
from proj.dashboard.live.started_attempts import StartedAttempts
from proj.dashboard.live.state import State
from proj.delivery.dead_letters.destinations import NO_EXCHANGE
from proj.errors import NoJournal
from proj.journal.attempt import Attempt
from proj.journal.records import Gap, Worker
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.dashboard.live.status import StartedAttempt

ORIGIN = {"generation": "g", "source": "live", "journal": None}
NOWHERE = "amqp://nobody@127.0.0.1:1//"


def state_of(*attempts: Attempt, now: float = 2000.0) -> State:
    state = State(100)
    state.workers.update([Worker(name="w@h", slots=2, queues=("q",), dispatch="fair")], 1.0)
    state.load(attempts, [], now=now)
    return state


def shown(state: State, run: str | None = None, *, now: float = 2000.0) -> dict[str, Any]:
    counts = event_counts(state, heard=1, refused=2, dropped=3)
    return json.loads(snapshot(state, run, counts, origin=ORIGIN, now=now)[0])


def attempt(task_id: str = "t", began: float = 1000.0, **more: Any) -> Attempt:
    return Attempt(**{"task_id": task_id, "state": "started", "queue": "q", "worker": "w@h", "arguments": "secret",
                      "sent": began, "received": began, "started": began + 1, **more})  # fmt: skip


def test_snapshot_shows_the_newest_run_unless_another_is_named() -> None:
    """An unknown name also shows the newest."""
    state = state_of(attempt("old", 10.0, state="succeeded", finished=12.0), attempt("new"))
    newest = shown(state)

    assert [run["name"] for run in newest["runs"]] == ["1970-01-01 00:16:40", "1970-01-01 00:00:10"]
    assert (newest["run"], newest["open"]) == ("1970-01-01 00:16:40", True)
    assert shown(state, "1970-01-01 00:00:10")["run"] == "1970-01-01 00:00:10"
    assert shown(state, "no such")["run"] == newest["run"]


def test_running_attempt_lasts_until_now_and_ends_with_its_run() -> None:
    """In the figures and in the chart."""
    running = shown(state_of(attempt()), now=1011.0)["report"]
    done = state_of(attempt(state="succeeded", finished=1005.0))

    figures = running["runs"][0]["figures"]
    assert (figures["makespan_s"], figures["ideal_s"], running["live"]) == (11.0, 10.0, True)
    assert running["runs"][0]["groups"][0]["lanes"][0] == [[1.0, 11.0, "unfinished", "t", 1, 1, 0]]
    assert shown(done, now=1011.0)["report"] == shown(done, now=99999.0)["report"]


def test_snapshot_names_a_worker_that_holds_more_messages_than_slots() -> None:
    """While it does so; in a recorded journal nobody holds anything now."""
    state = state_of(*(attempt(task_id, queue=task_id, state="received", started=None) for task_id in "abc"))
    state.workers.update([Worker(name="w@h", slots=1, queues=("a", "b", "c"), dispatch="fair")], 1.0)
    notes = [note for note in shown(state, now=1011.0)["notes"] if "Worker w@h (1 slot) holds 2 messages" in note]
    state.live = False

    assert len(notes) == 1
    assert shown(state, now=1011.0)["notes"] == []


def test_snapshot_shows_the_queues_in_which_messages_wait_and_counts_the_others() -> None:
    """A starved queue has the fewest attempts, and must not vanish behind busy ones."""
    done = {"state": "succeeded", "finished": 1002.0}
    busy = [attempt(f"{queue}-{n}", queue=f"q{queue}", **done) for queue in range(MOST_GROUPS + 3) for n in range(3)]
    starved = attempt("one", queue="starved", state="sent", worker=None, received=None, started=None)
    ready = attempt("two", queue="full", **done)
    state = state_of(*busy, starved, ready, now=1003.0)
    state.broker = BrokerState(time=1003.0, depths={"full": Depth(name="full", type="quorum", ready=7,
                                                                 unacknowledged=0, consumers=1)})  # fmt: skip
    data = shown(state, now=1003.0)
    queues = {group["queue"] for group in data["groups"]}

    assert {"starved", "full"} <= queues
    assert (len(queues), data["groups_left_out"]) == (MOST_GROUPS, 5)
    assert [note for note in data["notes"] if note.startswith("5 groups of a queue and a mode are not shown")]


def test_outage_of_the_broker_is_no_avoidable_wait() -> None:
    """While it is away nobody can give a task to a free worker; the wait before it counts."""
    state = state_of(attempt("held", state="received", started=None), attempt("done", 990.0, worker="v@h",
                     state="succeeded", started=990.0, finished=1000.0), now=1000.0)  # fmt: skip
    state.workers.update([Worker(name="v@h", slots=1, queues=("q",), dispatch="fair")], 1.0)
    waits = []
    for broker in (BrokerState(), BrokerState(away_since=1010.0), BrokerState(away_since=1010.0)):
        state.broker = broker
        waits.append(shown(state, now=1040.0)["report"]["runs"][0]["figures"]["avoidable_wait_s"])
    state.broker = BrokerState()
    state.gaps.append(Gap(began=1010.0, ended=1030.0, events=None, reason="The broker was away."))
    after = shown(state, now=1040.0)["report"]["runs"][0]["figures"]["avoidable_wait_s"]

    assert (waits[0], waits[1], after) == (40.0, 10.0, 20.0)


def test_snapshot_names_the_queues_whose_dead_letters_go_nowhere() -> None:
    """Those that a worker consumes, because a queue of somebody else may be meant so."""
    state = state_of(attempt())
    state.broker = BrokerState(time=1011.0, dropped={"q": NO_EXCHANGE, "of somebody else": NO_EXCHANGE})

    (note,) = shown(state, now=1011.0)["notes"]

    assert note.startswith(f"Dead letters go nowhere from q ({NO_EXCHANGE}).")


def test_snapshot_contains_no_arguments() -> None:
    """They may be secret."""
    assert b"secret" not in snapshot(state_of(attempt()), None, event_counts(State(1), heard=0, refused=0, dropped=0),
                                     origin=ORIGIN, now=2000.0)[0]  # fmt: skip


def test_snapshot_says_what_is_missing() -> None:
    """Evicted attempts, dropped events, and gaps during the run."""
    state = State(1)
    state.load([attempt("a", state="succeeded", finished=1002.0), attempt("b")], [], now=1003.0)
    state.gaps.append(Gap(began=1000.5, ended=1000.7, events=None, reason="The dashboard was not running."))
    state.gaps.append(Gap(began=1.0, ended=2.0, events=None, reason="Long ago."))
    data = shown(state, now=1003.0)

    assert data["kept"] == {"attempts": 1, "of": 2}
    assert data["events"] == {"heard": 1, "refused": 2, "dropped": 3, "lost": 0, "lost_by_worker": []}
    assert [note for note in data["report"]["notes"] if "missing" in note] == [
        "Events are missing over 0.20 s: The dashboard was not running."
    ]


def test_readings_cover_all_attempts_in_memory() -> None:
    """Metrics do not distinguish runs."""
    state = state_of(attempt("old", 10.0, state="succeeded", finished=12.0), attempt("new"))

    told = readings(state, event_counts(state, heard=1, refused=0, dropped=0), 1003.0)

    assert [(group.name, group.tasks, group.busy_slots, group.slots) for group in told.groups] == [
        ("q · fair", 2, 1, 2)
    ]
    assert [(queue.queue, queue.events.unacknowledged) for queue in told.queues] == [("q", 1)]


def test_started_attempt_is_given_on_once_with_its_waits() -> None:
    """Also one that was evicted, but without its avoidable wait, which depends on other attempts."""
    state = state_of(attempt("kept", received=1000.5))
    started = StartedAttempts()
    gone = attempt("gone", began=900.0, received=901.0, started=903.0)
    started.add([("kept", next(iter(state.history))[1].attempts[0]), ("gone", gone), ("gone", gone)])

    told = {one.broker_wait_s: one for one in started.take_all(state, 2000.0)}

    assert sorted(told) == [0.5, 1.0]
    assert (told[0.5].queue, told[0.5].dispatch, told[0.5].held_s, told[0.5].avoidable_wait_s) == (
        "q",
        "fair",
        0.5,
        0.0,
    )
    assert (told[1.0].held_s, told[1.0].avoidable_wait_s) == (2.0, None)
    assert started.take_all(state, 2000.0) == []


@pytest.mark.parametrize(("held_s", "avoidable_s"), [(0.05, 0.0), (0.5, 0.5)])
def test_short_wait_in_a_worker_is_not_avoidable(held_s: float, avoidable_s: float) -> None:
    """At 2,000 tasks a second, 5 ms of each would sum to ten seconds a second, and raise an alert for ever."""
    other = attempt("other", 990.0, worker="v@h", state="succeeded", started=990.0, finished=1000.0)
    state = state_of(attempt("held", started=1000.0 + held_s), other)
    state.workers.update([Worker(name="v@h", slots=1, queues=("q",), dispatch="fair")], 1.0)
    started = StartedAttempts()
    started.add((task_id, task.attempts[0]) for task_id, task in state.history if task_id == "held")

    (told,) = started.take_all(state, 2000.0)

    assert told.avoidable_wait_s == pytest.approx(avoidable_s)


# --- The monitor -----------------------------------------------------------------------------------


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor(Celery("theirs", broker=NOWHERE, set_as_current=False), Settings(keep=100)) as monitor:
        yield monitor


def task_event(task_id: str, kind: str = "received") -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": task_id, "timestamp": time.time(), "hostname": "w@h"}


def test_snapshot_is_computed_only_while_someone_watches(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request gets the last snapshot at once, and a fresh one follows soon."""
    computed = threading.Event()
    real = module.snapshot
    monkeypatch.setattr(module, "snapshot", lambda *words, **more: (computed.set(), real(*words, **more))[1])
    monitor.hear(task_event("t"))
    wait_until(lambda: monitor.readings() and monitor._events.heard == 1, what="the event", timeout_s=60)  # noqa: SLF001 nobody asks

    assert not computed.wait(1.0)
    assert json.loads(monitor.snapshot())["format"] == "proj-dispatch"
    wait_until(lambda: json.loads(monitor.snapshot())["report"], what="the event on the page", timeout_s=60)


def test_events_above_the_limit_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They must not fill the memory."""
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    monitor = Monitor(Celery("theirs", broker=NOWHERE, set_as_current=False), Settings(keep=100))
    for number in range(25):
        monitor.hear(task_event(f"t{number}"))
    monitor.refuse()
    with monitor:
        wait_until(lambda: json.loads(monitor.snapshot())["report"], what="the events", timeout_s=60)
        told = json.loads(monitor.snapshot())["events"]

    assert (told["heard"], told["dropped"], told["refused"]) == (10, 15, 1)


FORGED: list[Any] = [
    None,
    7,
    {},
    {"type": {}},
    {"type": "dispatch-run", "run": [], "state": {}, "queues": {"q": 1}},
    {"type": "dispatch-run", "run": "\ud800", "state": "began", "queues": ["\ud800"]},
    {
        "type": "task-sent",
        "uuid": "\ud800x",
        "timestamp": 1.0,
        "hostname": "\ud800",
        "queue": "\ud800",
        "name": "\0",
    },
    {"type": "task-succeeded", "uuid": "x", "timestamp": 9.9e10, "hostname": "w", "runtime": 9.9e10},
    {"type": "task-received", "uuid": "x", "timestamp": 0, "hostname": "w", "eta": "9999-12-31T23:59:59+00:00"},
    {"type": "worker-heartbeat", "hostname": "\udfff", "timestamp": 1.0, "freq": 1e-9, "processed": 2**52},
]


def test_forged_events_break_nothing(monitor: Monitor) -> None:
    """The events after it are processed."""
    for number, event in enumerate(FORGED):
        monitor.hear(event)
        monitor.hear(task_event(f"good-{number}"))
    wait_until(
        lambda: json.loads(monitor.snapshot())["events"]["heard"] == 2 * len(FORGED), what="all of them", timeout_s=60
    )
    told = json.loads(monitor.snapshot())

    assert told["events"]["dropped"] == 0
    kept = {task_id for task_id, _ in monitor._events.state.history}  # noqa: SLF001 the ids are in no answer
    assert {f"good-{number}" for number in range(len(FORGED))} <= kept
    assert told["report"] is not None


def test_observer_gets_each_start_once_after_the_first_scrape() -> None:
    """Before that, no one reads the metrics."""
    seen: list[StartedAttempt] = []
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    with Monitor(app, Settings(), observer=seen.extend) as monitor:
        monitor.readings()
        for kind in ("received", "started", "started"):
            monitor.hear(task_event("t", kind))
        wait_until(lambda: seen, what="the start", timeout_s=60)
        monitor.hear(task_event("u", "started"))
        wait_until(lambda: len(seen) > 1, what="the next", timeout_s=60)

    assert [one.worker for one in seen] == ["w@h", "w@h"]


def test_first_scrape_has_what_was_there_before_it() -> None:
    """Not zeros, because nobody had asked before."""
    seen: list[StartedAttempt] = []
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    with Monitor(app, Settings(), observer=seen.extend) as monitor:
        for kind in ("received", "started"):
            monitor.hear(task_event("t", kind))
        wait_until(lambda: monitor._events.heard == 2, what="the events", timeout_s=60)  # noqa: SLF001 nobody asks
        told = monitor.readings()

        assert [(group.tasks, group.busy_slots) for group in told.groups] == [(1, 1)]
        assert [one.worker for one in seen] == ["w@h"]


def test_missing_recorded_journal_is_refused_at_the_start(tmp_path: Path) -> None:
    """It is refused before anything is served."""
    monitor = Monitor(Celery("theirs", broker=NOWHERE, set_as_current=False), Settings(recorded=tmp_path / "none"))

    with pytest.raises(NoJournal):
        monitor.start()
    monitor.stop()


def test_worker_of_several_queues_has_its_tasks_in_one_lane() -> None:
    """Each bar says of which queue it is; with a worker for each queue, there is nothing to put together."""
    apart = state_of(attempt("a", queue="a", worker="one@h"), attempt("b", queue="b", worker="two@h"))
    state = state_of(
        attempt("a", queue="a", state="succeeded", finished=1003.0),
        attempt("b", queue="b", started=1004.0),
    )

    together = shown(state, now=1011.0)["report"]["together"]

    (lane,) = [lane for group in together["groups"] for lane in group["lanes"] if lane]
    assert [(bar[0], together["queues"][bar[6]]) for bar in lane] == [(1.0, "a"), (4.0, "b")]
    assert "together" not in shown(apart, now=1011.0)["report"]
