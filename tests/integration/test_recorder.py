"""The recorder, on a real broker."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection

from proj.errors import InvalidSetting, UnreadableJournal
from proj.journal.reader import open_journal
from proj.journal.recording import event_queue
from proj.journal.recording.event_queue import MOST_BYTES, MOST_MESSAGES, EventQueue
from proj.journal.recording.recorder import Recorder
from proj.journal.writer import JournalWriter
from proj.lab.broker import Broker
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from kombu import Queue

    from proj.journal.attempt import Attempt
    from proj.lab.processes.guard import Guard


def publish(url: str, body: Any, **options: Any) -> None:
    """Publish events as workers do."""
    with Connection(url) as connection:
        producer = connection.Producer(exchange=get_exchange(connection))
        producer.publish(body, routing_key="task.multi", delivery_mode=1, **options)


def event(task_id: str, kind: str = "received", **more: object) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": task_id, "timestamp": time.time(), "hostname": "w@h", **more}


def attempts(path: Path) -> list[Attempt]:
    with open_journal(path) as journal:
        return journal.attempts()


def task_ids(path: Path) -> set[str]:
    return {attempt.task_id for attempt in attempts(path)}


def messages(app: Celery, queue: str) -> int:
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare(queue, passive=True).message_count


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def app(broker: Broker, vhost: str) -> Celery:
    return Celery("theirs", broker=broker.url(vhost), set_as_current=False)


def test_recorder_records_events_that_were_sent_while_it_was_away(
    app: Celery, broker: Broker, vhost: str, path: Path
) -> None:
    """Its queue is durable, not exclusive, and bounded in messages, bytes and time."""
    with Recorder(app, path, broker_api=broker.management_url) as recorder:
        publish(broker.url(vhost), [event("a")])
    assert task_ids(path) == {"a"}
    publish(broker.url(vhost), [event("b")])
    queue = broker.management.request("GET", f"queues/{vhost}/{recorder.queue_name}")
    with Recorder(app, path, broker_api=broker.management_url):
        pass

    assert task_ids(path) == {"a", "b"}
    assert messages(app, recorder.queue_name) == 0
    assert (queue["durable"], queue["exclusive"], queue["auto_delete"]) == (True, False, False)
    assert queue["arguments"]["x-max-length"] == MOST_MESSAGES
    assert queue["arguments"]["x-max-length-bytes"] == MOST_BYTES
    assert queue["arguments"]["x-overflow"] == "drop-head"
    assert queue["arguments"]["x-message-ttl"] == queue["arguments"]["x-expires"] == 86_400_000


def test_recorder_survives_malformed_events(app: Celery, broker: Broker, vhost: str, path: Path) -> None:
    """Messages may be forged, in another encoding, or no events at all."""
    url = broker.url(vhost)
    with Recorder(app, path, broker_api=broker.management_url):
        publish(url, b"\x80\x04", content_type="application/x-python-serialize", content_encoding="binary")
        publish(url, b"{not json", content_type="application/json", content_encoding="utf-8")
        publish(url, b"\xff", content_type="application/json", content_encoding="no-such-coding")
        for body in (7, None, [[], "x", {"type": "task-sent"}], {"type": {}}, [event("forged\ud800", args="\ud800")]):
            publish(url, body, serializer="json")
        publish(url, event("last"), serializer="json")
        wait_until(lambda: path.exists() and "last" in task_ids(path), what="the good event", timeout_s=60)


def test_recorder_does_not_shift_timestamps(app: Celery, broker: Broker, vhost: str, path: Path) -> None:
    """The time zone of a worker does not matter: seconds since the epoch are the same everywhere."""
    with Recorder(app, path, broker_api=broker.management_url):
        publish(broker.url(vhost), event("t", timestamp=1000.0, utcoffset=5), serializer="json")

    assert [attempt.received for attempt in attempts(path)] == [1000.0]


def test_recorder_writes_a_gap_if_its_queue_was_deleted(app: Celery, broker: Broker, path: Path) -> None:
    """The number of missing events is not known."""
    with Recorder(app, path, broker_api=broker.management_url) as recorder:
        pass
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(recorder.queue_name)
    with Recorder(app, path, broker_api=broker.management_url):
        pass

    with open_journal(path) as journal:
        assert [(gap.events, gap.reason) for gap in journal.gaps()] == [(None, "The event queue was gone.")]


def test_recorder_continues_with_the_queue_of_an_older_version(
    app: Celery, broker: Broker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has none of the arguments that tell its journal and its age."""

    def older(queue: EventQueue, connection: Connection) -> Queue:
        made = bound(queue, connection)
        made.queue_arguments = {"x-queue-type": "classic", "x-overflow": "drop-head"}
        return made

    bound = EventQueue.bound
    with monkeypatch.context() as before:
        before.setattr(EventQueue, "bound", older)
        with Recorder(app, path, broker_api=broker.management_url):
            pass
    with Recorder(app, path, broker_api=broker.management_url):
        pass

    assert _gaps(path) == []


def test_recorder_writes_a_gap_if_its_queue_overflowed(
    app: Celery, broker: Broker, vhost: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker dropped the oldest events; the newest are recorded."""
    monkeypatch.setattr(event_queue, "MOST_MESSAGES", 3)
    with Recorder(app, path, broker_api=broker.management_url):
        pass
    for task_id in "abcde":
        publish(broker.url(vhost), event(task_id), serializer="json")
    with Recorder(app, path, broker_api=broker.management_url):
        pass

    assert task_ids(path) == {"c", "d", "e"}
    assert ["overflowed" in reason for reason in _gaps(path)] == [True]


def test_event_that_could_not_be_written_is_delivered_again(
    app: Celery, broker: Broker, vhost: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is acknowledged only when it is on the disk."""
    with Recorder(app, path, broker_api=broker.management_url):
        pass
    publish(broker.url(vhost), event("t"), serializer="json")
    with monkeypatch.context() as full_disk:
        full_disk.setattr(JournalWriter, "put_attempts", _no_space)
        with Recorder(app, path, broker_api=broker.management_url) as recorder, pytest.raises(UnreadableJournal):
            recorder.wait()
    with Recorder(app, path, broker_api=broker.management_url):
        pass

    assert task_ids(path) == {"t"}


def test_recorder_refuses_a_queue_with_other_arguments(app: Celery, path: Path) -> None:
    """It would consume messages that are not events."""
    with app.connection_for_write() as connection:
        connection.default_channel.queue_declare("theirs", durable=True, auto_delete=False)

    with pytest.raises(InvalidSetting, match="theirs"):
        Recorder(app, path, queue="theirs").start()


def test_recorder_continues_after_a_restart_of_the_broker(guard: Guard, path: Path) -> None:
    """It writes a gap, because a broker that restarts loses the events in its queues."""
    with Broker(guard) as broker:
        app = Celery("theirs", broker=broker.url(), set_as_current=False)
        with Recorder(app, path, broker_api=broker.management_url):
            publish(broker.url(), event("before"), serializer="json")
            wait_until(lambda: "before" in task_ids(path), what="the first event", timeout_s=60)
            broker.kill()
            broker.start()
            wait_until(lambda: _gaps(path), what="the gap", timeout_s=60)
            publish(broker.url(), event("after"), serializer="json")
            wait_until(lambda: "after" in task_ids(path), what="the event after the restart", timeout_s=60)

    assert ["The broker was away" in reason for reason in _gaps(path)] == [True]


def _no_space(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def _gaps(path: Path) -> list[str]:
    with open_journal(path) as journal:
        return [gap.reason for gap in journal.gaps()]
