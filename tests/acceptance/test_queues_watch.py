"""`celery -A proj queues --watch` of queues whose rates are known."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection

from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proj.lab.broker import Broker

#: Slots, seconds of work for a message, and messages published in a second: these would need eight slots.
SLOTS = 4
WORK_S = 0.2
PUBLISHED_PER_S = 40
FILLS, DRAINS = "task_queue", "task_queue.drains"
#: Messages in each queue at the start: more seconds of work than the figures may take to become right.
WAITING = 1400
FIGURES_TIMEOUT_S = 60


@pytest.fixture
def _collected_often(broker: Broker) -> Iterator[None]:
    """Let new connections report their statistics every 0.5 s instead of every 5 s."""
    collect = "application:set_env(rabbit, collect_statistics_interval, {})."
    broker.order("eval", collect.format(500))
    yield
    broker.order("eval", collect.format(5000))


@contextmanager
def running(work: Callable[[Any, threading.Event], None], url: str) -> Iterator[None]:
    """Do the work in a thread with its own connection."""
    ending = threading.Event()

    def run() -> None:
        with Connection(url) as connection:
            work(connection, ending)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(timeout=60)


def publish(connection: Any, ending: threading.Event) -> None:
    """Publish at a constant rate by the clock: after a delay it catches up."""
    producer = connection.Producer()
    begun, sent = time.monotonic(), 0
    while not ending.wait(0.02):
        while sent < (time.monotonic() - begun) * PUBLISHED_PER_S:
            producer.publish(b"x", exchange="", routing_key=FILLS)
            sent += 1


def consume(queue: str, connection: Any, ending: threading.Event) -> None:
    """Consume as a worker under fair dispatch: acknowledge each message after its seconds of work."""
    due: deque[tuple[float, Any]] = deque()
    channel = connection.default_channel
    channel.basic_qos(0, SLOTS, False)  # noqa: FBT003 AMQP's own
    channel.basic_consume(queue, callback=lambda message: due.append((time.monotonic() + WORK_S, message)))
    while not ending.is_set():
        while due and due[0][0] <= time.monotonic():
            channel.basic_ack(due.popleft()[1].delivery_tag)
        try:
            connection.drain_events(timeout=0.01)
        except TimeoutError:
            continue


@pytest.mark.usefixtures("_collected_often")
def test_watch_shows_the_rates_of_a_growing_and_of_a_shrinking_queue(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """Each of two queues has four slots, which finish 20 messages a second.

    Into the first queue come 40 a second: it grows by 20 and needs eight slots. Into the second comes none: it shrinks
    by 20 a second, and the time until it is empty follows from that.
    """
    url = broker.url(vhost)
    with Connection(url) as connection:
        for queue in (FILLS, DRAINS):
            arguments = {"x-queue-type": "quorum"}
            connection.default_channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
            for _ in range(WAITING):
                connection.Producer().publish(b"x", exchange="", routing_key=queue)
    output = tmp_path / "looks"
    with output.open("w") as looks:
        watch = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "queues", "--watch", "--json", "--interval", "0.5"],
            env=child_environment(PYTHONUNBUFFERED="1", CELERY_BROKER_URL=url, FLOWER_BROKER_API=broker.management_url),
            stdout=looks,
        )

    def figures_are_right() -> bool:
        last = next(iter(output.read_text().split("\n")[-2:-1]), "[]")
        seen = {each["name"]: each for each in json.loads(last)}
        if not {FILLS, DRAINS} <= seen.keys():
            return False
        left_s = (seen[DRAINS]["ready"] + SLOTS) / 20
        return seen[FILLS]["empty_in_s"] is None and all(
            # The machine may be busy.
            seen[queue][name] == pytest.approx(figure, rel=0.25, abs=2)
            for queue, figures in (
                (FILLS, {"in_per_s": 40, "out_per_s": 20, "growth_per_s": 20, "slots": 8}),
                (DRAINS, {"in_per_s": 0, "out_per_s": 20, "growth_per_s": -20, "slots": 0, "empty_in_s": left_s}),
            )
            for name, figure in figures.items()
        )

    try:
        with running(partial(consume, FILLS), url), running(partial(consume, DRAINS), url), running(publish, url):
            wait_until(figures_are_right, what="the figures", timeout_s=FIGURES_TIMEOUT_S)
    finally:
        watch.kill()
        watch.wait()
