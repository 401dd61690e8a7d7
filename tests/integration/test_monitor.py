"""The monitor, on a real broker."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection

from proj.celery import app as ours
from proj.dashboard.live.monitor import Monitor, Settings
from proj.errors import UnreadableJournal
from proj.journal.attempts import Attempts
from proj.journal.recording.listener import Listener
from proj.journal.recording.recorder import Recorder
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.lab.runs.run_marks import mark_began, mark_ended
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 60
MODES = ("round-robin", "fair", "adaptive")


class ToMonitor(Attempts):
    """Gives the events that it gets to a monitor."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor

    def add(self, event: Mapping[str, Any]) -> None:
        self._monitor.hear(event)


class Bus(Listener):
    """Gives every event of the app to a monitor."""

    def __init__(self, app: Celery, monitor: Monitor) -> None:
        super().__init__(app, app.connection_for_read())
        self.attempts = ToMonitor(monitor)


@pytest.fixture
def app(broker: Broker, vhost: str) -> Celery:
    return Celery("theirs", broker=broker.url(vhost), set_as_current=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def workers(guard: Guard, broker: Broker, vhost: str) -> Iterator[list[Worker]]:
    """One worker of each mode, with one slot, on one queue."""
    started = [
        Worker(
            f"{mode}@{vhost}",
            guard=guard,
            broker_url=broker.url(vhost),
            queue="mixed",
            dispatch=mode,
            slots=1,
            dot_seconds=0.05,
        )
        for mode in MODES
    ]
    for worker in started:
        worker.start()
    yield started
    for worker in started:
        worker.kill()


def shown(monitor: Monitor, run: str | None = None) -> dict[str, Any]:
    return json.loads(monitor.snapshot(run))


def settings(broker: Broker, **more: Any) -> Settings:
    return Settings(broker_api=broker.management_url, **more)


def publish(url: str, task_id: str, kind: str = "received", **more: object) -> None:
    """Send an event as workers do."""
    event = {"type": f"task-{kind}", "uuid": task_id, "timestamp": time.time(), "hostname": "w@h", **more}
    with Connection(url) as connection:
        producer = connection.Producer(exchange=get_exchange(connection))
        producer.publish([event], routing_key="task.multi", delivery_mode=1, serializer="json")


def tasks(document: dict[str, Any]) -> int:
    return sum(run["figures"]["tasks"] for run in document["report"]["runs"]) if document["report"] else 0


def is_settled(document: dict[str, Any], finished: int) -> bool:
    return not document["open"] and sum(group["tasks"] for group in document["groups"]) == finished


@pytest.mark.usefixtures("workers")
def test_three_modes_on_one_queue_are_three_groups_while_they_run(broker: Broker, vhost: str, app: Celery) -> None:
    """By the dispatch mode that each worker reports, with the broker's windows, in the marked run."""
    with Monitor(app, settings(broker)) as monitor, Bus(app, monitor):
        wait_until(
            lambda: {one.dispatch for one in monitor._events.state.workers.at(time.time())} == {*MODES},  # noqa: SLF001 no other sign of it yet
            what="the workers to answer",
            timeout_s=TIMEOUT_S,
        )
        with ours.connection_for_write(broker.url(vhost)) as connection, ours.amqp.Producer(connection) as producer:
            mark_began(ours, connection, run="compared", queues=["mixed"])
            for message in ["heavy" + 20 * ".", "light."] * 4:
                work.apply_async((message,), queue="mixed", producer=producer, ignore_result=True)
            live = wait_until(
                lambda: now if (now := shown(monitor))["open"] and any(one["held"] for one in now["groups"]) else None,
                what="the run on the page while it runs",
                timeout_s=TIMEOUT_S,
            )
            wait_until(lambda: is_settled(shown(monitor), 8), what="the end of the run", timeout_s=TIMEOUT_S)
            mark_ended(ours, connection, run="compared", queues=["mixed"])
        done = wait_until(
            lambda: now if _agrees(now := shown(monitor)) else None, what="the broker to agree", timeout_s=TIMEOUT_S
        )
        readings = monitor.readings()

    assert live["report"]["live"] is True
    assert [group["name"] for group in live["groups"]] == [f"mixed · {mode}" for mode in MODES]
    assert [(run["name"], run["marked"], run["ended"] is None) for run in done["runs"]] == [("compared", True, False)]
    assert [(one["slots"], one["workers"][0]["alive"]) for one in done["groups"]] == [(1, True)] * 3
    assert [run["name"] for run in done["report"]["runs"]] == [group["name"] for group in done["groups"]]
    (queue,) = (queue for queue in done["queues"] if queue["queue"] == "mixed")
    # One worker without a limit, and two with one message.
    assert sorted((one["window"], one["channels"]) for one in queue["broker"]["windows"]) == [(0, 1), (1, 2)]
    assert (queue["type"], queue["broker"]["consumers"], queue["events"]["ready"]) == ("quorum", 3, 0)
    # No policy of this virtual host matches the queue, and the page may have asked for that yet or not.
    notes = [note for note in done["notes"] if not note.startswith("Dead letters go nowhere from mixed")]
    assert (done["events"]["lost"], notes) == (0, [])
    assert {group.name for group in readings.groups} == {f"mixed · {mode}" for mode in MODES}


def _agrees(document: dict[str, Any]) -> bool:
    (queue,) = (queue for queue in document["queues"] if queue["queue"] == "mixed")
    broker = queue["broker"]
    # The broker lists a new channel some seconds late; until then its window is not known.
    windows = {} if broker is None else {one["window"]: one["channels"] for one in broker["windows"]}
    return sum(windows.values()) == len(MODES) and None not in windows and queue["explanation"] is None


def test_event_is_on_a_watched_page_within_a_second(broker: Broker, vhost: str, app: Celery) -> None:
    """The second begins at the publish."""
    with Monitor(app, settings(broker)) as monitor, Bus(app, monitor):

        def took_s() -> float:
            known = tasks(shown(monitor))
            began = time.monotonic()
            publish(broker.url(vhost), f"t{known}")
            wait_until(lambda: tasks(shown(monitor)) > known, what="the event", timeout_s=TIMEOUT_S)
            return time.monotonic() - began

        # A busy machine may delay some of them, but not each.
        wait_until(lambda: took_s() < 1.0, what="an event within a second", timeout_s=TIMEOUT_S)


def test_history_goes_on_after_a_restart_with_its_journal(broker: Broker, vhost: str, app: Celery, path: Path) -> None:
    """The run is shown again, its tasks go on, and a note tells of the gap."""
    kept = settings(broker, journal=path)
    with Monitor(app, kept) as monitor, Bus(app, monitor):
        publish(broker.url(vhost), "before", "sent", hostname="p", queue="q")
        publish(broker.url(vhost), "before")
        wait_until(lambda: tasks(shown(monitor)) == 1, what="the event", timeout_s=TIMEOUT_S)
        before = shown(monitor)
    with Monitor(app, kept) as monitor, Bus(app, monitor):
        wait_until(lambda: tasks(shown(monitor)) == 1, what="the history", timeout_s=TIMEOUT_S)
        publish(broker.url(vhost), "before", "started")
        wait_until(lambda: shown(monitor)["groups"][0]["busy_slots"] == 1, what="the start", timeout_s=TIMEOUT_S)
        after = shown(monitor)

    assert (after["journal"], after["source"], after["run"]) == ("journal.sqlite", "live", before["run"])
    assert after["generation"] != before["generation"]
    assert any("The dashboard was not running." in note for note in after["report"]["notes"])


def test_recorded_journal_is_followed_while_it_is_recorded(broker: Broker, vhost: str, app: Celery, path: Path) -> None:
    """It is only read. While the recorder writes it, no dashboard may write it, either."""
    with Recorder(app, path, run="recorded", broker_api=broker.management_url):
        with pytest.raises(UnreadableJournal, match="another process is writing it"):
            Monitor(app, settings(broker, journal=path)).start()
        with Monitor(app, Settings(recorded=path)) as monitor:
            for number in range(3):
                publish(broker.url(vhost), f"t{number}")
                wait_until(lambda: tasks(shown(monitor)) == number + 1, what="the event", timeout_s=TIMEOUT_S)  # noqa: B023 used at once
            followed = shown(monitor)

    assert (followed["source"], followed["journal"], followed["open"]) == ("journal", "journal.sqlite", True)
    assert [(run["name"], run["attempts"]) for run in followed["runs"]] == [("recorded", 3)]


def test_recorded_journal_is_not_live_when_no_recorder_writes_it(
    app: Celery, broker: Broker, vhost: str, path: Path
) -> None:
    """A task without an end must not run on for ever."""
    with Recorder(app, path, run="recorded", broker_api=broker.management_url):
        publish(broker.url(vhost), "t")
        publish(broker.url(vhost), "t", "started")
    with Monitor(app, Settings(recorded=path)) as monitor:
        wait_until(lambda: tasks(shown(monitor)) == 1, what="the journal", timeout_s=TIMEOUT_S)
        still = shown(monitor)

    assert (still["open"], "live" in still["report"]) == (False, False)


def test_monitor_starts_without_a_broker_and_asks_it_when_it_answers(broker: Broker, vhost: str) -> None:
    """A dashboard is needed most when something is broken. Here, the broker refuses it at first."""
    broker.remove_vhost(vhost)
    app = Celery("theirs", broker=broker.url(vhost), set_as_current=False)
    with Monitor(app, settings(broker)) as monitor:
        wait_until(lambda: shown(monitor)["notes"], what="a note", timeout_s=TIMEOUT_S)
        monitor.hear({"type": "task-sent", "uuid": "t", "timestamp": time.time(), "hostname": "p", "queue": "q"})
        broker.add_vhost(vhost)
        with app.connection_for_write() as connection:
            connection.default_channel.queue_declare("q", durable=True, auto_delete=False)
        wait_until(
            lambda: any(queue["broker"] is not None for queue in shown(monitor)["queues"]),
            what="the broker's count",
            timeout_s=TIMEOUT_S,
        )
        wait_until(lambda: not shown(monitor)["notes"], what="the note to go", timeout_s=TIMEOUT_S)
