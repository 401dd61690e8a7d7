"""What a worker of an app that is not ours tells its monitors, on a real broker."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.events.event import get_exchange
from celery.worker.consumer.events import Events
from kombu import Connection, Queue

from proj.delivery.recovery.event_flushes import FULL, INTERVAL_S
from proj.delivery.recovery.monitoring_events import send_events_once
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

pytestmark = pytest.mark.one_version

THEIRS = """
import os
from celery import Celery
from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

app = Celery("theirs")
app.conf.update(task_ignore_result=True)
install(app, dispatch=os.environ.get("THEIR_DISPATCH"))


@app.task
def nothing():
    pass


@app.task
def until(path):
    wait_until(lambda: os.path.exists(path), what="the end of the task", timeout_s=120)
"""
TASKS = 200
TIMEOUT_S = 120


class Monitor:
    """Reads the messages that come to the event exchange, from the start."""

    def __init__(self, connection: Connection) -> None:
        self._queue = Queue("monitor", get_exchange(connection), routing_key="#", durable=True)(connection)
        self._queue.declare()
        self.messages: list[list[dict[str, Any]]] = []

    def read(self) -> list[dict[str, Any]]:
        """All events so far, in the order in which they came."""
        while (message := self._queue.get(no_ack=True)) is not None:
            body = json.loads(message.body)
            self.messages.append(body if isinstance(body, list) else [body])
        return [event for message in self.messages for event in message]

    def await_count(self, kind: str, count: int) -> None:
        wait_until(
            lambda: sum(event["type"] == kind for event in self.read()) >= count,
            what=f"{count} of {kind}",
            timeout_s=TIMEOUT_S,
        )


@pytest.fixture
def url(broker: Broker, vhost: str) -> str:
    return broker.url(vhost)


@pytest.fixture
def monitor(url: str) -> Iterator[Monitor]:
    with Connection(url) as connection:
        yield Monitor(connection)


@pytest.fixture
def start(guard: Guard, url: str, tmp_path: Path) -> Iterator[Any]:
    """Starts a worker with these options; it does not outlive the test."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    started: list[Process] = []

    def run(*options: str, node: str = "events@host", **env: str) -> Process:
        worker = worker_process(
            node,
            "--task-events",
            *options,
            guard=guard,
            broker_url=url,
            app="theirs",
            folder=tmp_path,
            PYTHONPATH=str(tmp_path),
            **env,
        )
        started.append(worker)
        worker.start()
        wait_until_ready(worker)
        return worker

    yield run
    for worker in started:
        worker.kill()


def send(url: str, name: str, *argument_lists: tuple[str, ...]) -> list[str]:
    """Send tasks, and return their ids."""
    with Celery(broker=url, set_as_current=False) as client:
        return [client.send_task(name, arguments, ignore_result=True).id for arguments in argument_lists]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_monitors_see_every_event_of_many_tasks_once_and_in_order_in_few_messages(
    start: Any, monitor: Monitor, url: str, pool: str
) -> None:
    """Stock Celery publishes a message for nearly every event."""
    ids = send(url, "theirs.nothing", *[()] * TASKS)
    worker = start("--pool", pool, "--concurrency", "1", "--heartbeat-interval", "1")
    monitor.await_count("task-succeeded", TASKS)
    worker.terminate()
    wait_until(lambda: not worker.running, what="its end", timeout_s=TIMEOUT_S)

    events = monitor.read()
    of_tasks: dict[str, list[str]] = defaultdict(list)
    clocks: list[int] = []
    started = 0
    for event in events:
        clocks.append(event["clock"])
        if event["type"] == "task-received":
            assert event["queue"] == "celery"
        if "uuid" in event:
            of_tasks[event["uuid"]].append(event["type"])
        if event["type"] == "task-started":
            started += 1
        elif event["type"] == "worker-heartbeat":
            # A thread counts its task and then sends the event; a heartbeat may come between the two.
            assert started >= event["processed"] - (pool == "threads")
    assert of_tasks == {key: ["task-received", "task-started", "task-succeeded"] for key in ids}
    assert len(set(clocks)) == len(clocks)
    if pool != "threads":
        assert clocks == sorted(clocks)
    assert events[-1]["type"] == "worker-offline"

    times = [event["timestamp"] for event in events if "uuid" in event]
    messages = sum("uuid" in message[0] for message in monitor.messages)
    heartbeats = Counter(event["type"] for event in events)["worker-heartbeat"]
    assert messages <= (max(times) - min(times)) / INTERVAL_S + len(times) / FULL + heartbeats + 3


def test_monitors_see_a_task_of_a_solo_worker_while_it_runs(
    start: Any, monitor: Monitor, url: str, tmp_path: Path
) -> None:
    """It runs in the worker's loop. Stock Celery tells of it when it has ended."""
    start("--pool", "solo")
    ids = send(url, "theirs.until", (str(tmp_path / "file"),))

    monitor.await_count("task-started", 1)

    assert [event["type"] for event in monitor.read() if event.get("uuid") in ids] == ["task-received", "task-started"]
    (tmp_path / "file").touch()
    monitor.await_count("task-succeeded", 1)


def test_warm_shutdown_sends_each_event_of_the_last_tasks_when_it_happens(
    start: Any, monitor: Monitor, url: str, tmp_path: Path
) -> None:
    """The loop that flushes has ended then; stock Celery sends them when the last task has ended."""
    first, second = tmp_path / "first", tmp_path / "second"
    worker = start("--concurrency", "2")
    ids = send(url, "theirs.until", (str(first),), (str(second),))
    monitor.await_count("task-started", 2)
    worker.terminate()
    monitor.await_count("worker-offline", 1)

    first.touch()
    monitor.await_count("task-succeeded", 1)
    second.touch()
    wait_until(lambda: not worker.running, what="its end", timeout_s=TIMEOUT_S)

    ended = [event["uuid"] for event in monitor.read() if event["type"] == "task-succeeded"]
    assert ended == ids


def test_heartbeats_tell_how_many_dead_letters_were_made_and_how_many_messages_adaptive_dispatch_has_given_back(
    start: Any, monitor: Monitor, url: str, tmp_path: Path
) -> None:
    """By queue; and as `inspect stats` does, where a worker without adaptive dispatch tells nothing."""
    told = {"window", "held", "given_back"}
    start("--pool", "threads", "--concurrency", "1", "--heartbeat-interval", "1")
    monitor.await_count("worker-heartbeat", 1)
    assert not [event for event in monitor.read() if told & event.keys()]
    send(url, "theirs.unknown", ())
    wait_until(
        lambda: {"celery": 1} in [event.get("dead_letters") for event in monitor.read()],
        what="the count of the dead letter",
        timeout_s=TIMEOUT_S,
    )

    options = ("--pool", "threads", "--concurrency", "1", "--heartbeat-interval", "1", "-Q", "ahead")
    start(*options, node="ahead@host", THEIR_DISPATCH="adaptive")
    with Celery(broker=url, set_as_current=False) as client:
        names = ["theirs.nothing"] * TASKS
        for name in (*names, "theirs.until", *names):
            arguments = (str(tmp_path / "file"),) if name == "theirs.until" else ()
            sent = client.send_task(name, arguments, queue="ahead", ignore_result=True)
            if arguments:
                until = sent.id

        def beat() -> dict[str, int]:
            (*_, last) = [{}, *(event for event in monitor.read() if told & event.keys())]
            assert last.get("hostname", "ahead@host") == "ahead@host"
            return {name: last.get(name, 0) for name in told}

        def said() -> dict[str, int]:
            stats = client.control.inspect(["ahead@host"], timeout=5).stats()["ahead@host"]["dispatch"]
            return {name: stats[name] for name in told}

        # Then nothing changes any more: the task does not end, and the worker asks for nothing meanwhile.
        # Short ones that were given back may be behind it in the queue.
        wait_until(
            lambda: ("task-started", until) in [(event["type"], event.get("uuid")) for event in monitor.read()],
            what="the task that does not end",
            timeout_s=TIMEOUT_S,
        )
        wait_until(lambda: beat()["given_back"] and beat() == said(), what="the same", timeout_s=TIMEOUT_S)
    (tmp_path / "file").touch()
    monitor.await_count("task-succeeded", 2 * TASKS + 1)


def test_events_that_a_lost_connection_left_in_the_buffer_reach_the_monitors_once(monitor: Monitor, url: str) -> None:
    """Celery's step makes a dispatcher for the next connection from that of the last."""
    app = Celery(broker=url, set_as_current=False)
    send_events_once(app)
    consumer: Any = SimpleNamespace(
        app=app,
        connection_for_write=lambda **_: app.connection_for_write(),
        hostname="w@h",
        hub=SimpleNamespace(call_soon=lambda _: None),
        amqheartbeat=0,
        on_send_event_buffered=lambda: None,
        connection_errors=(),
        channel_errors=(),
    )
    step = Events(consumer)
    step.start(consumer)
    consumer.event_dispatcher.send("task-received", uuid="a")
    consumer.event_dispatcher.flush()
    consumer.event_dispatcher.connection.collect()
    consumer.event_dispatcher.send("task-started", uuid="a")
    consumer.event_dispatcher.flush()
    consumer.event_dispatcher.send("task-succeeded", uuid="a")

    step.start(consumer)
    step.shutdown(consumer)

    assert [event["type"] for event in monitor.read()] == ["task-received", "task-started", "task-succeeded"]
