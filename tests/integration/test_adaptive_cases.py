"""Adaptive dispatch in an app that is not ours: tasks, commands and faults of every kind, on a real broker."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES
from tests.integration.adaptive import Client, began, ran, worker_of

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 90
POOLS = ("prefork", pytest.param("threads", marks=pytest.mark.one_version))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_task_of_every_kind_is_run_once(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str, pool: str
) -> None:
    """Tasks with a countdown, early acknowledgement, a rate limit or a retry, among short and long ones."""
    texts: list[str] = []

    def send(task: str, number: int, *arguments: Any, **options: Any) -> None:
        texts.append(f"{task} {number}")
        client.send(task, texts[-1], *arguments, **options)

    with worker_of(guard, broker.url(vhost), queue_type, "kinds", "--concurrency", "2", "--pool", pool) as worker:
        for number in range(300):
            send("run", number, 0.2 if number % 60 == 59 else 0.0)
            if number % 2:
                send("run", 1000 + number, countdown=2)
            if number % 6 == 0:
                send("early", number)
                send("limited", number)
                send("retried", number)
        wait_until(lambda: len(ran(worker)) >= len(texts), what="all tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: client.ready() == 0, what="an empty queue", timeout_s=60)

        assert client.consumers("first") <= 16
        assert ran(worker) == Counter(texts)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_queue_that_is_cancelled_is_left_and_one_that_is_added_is_consumed(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str
) -> None:
    """A worker of short tasks has several consumers of each queue."""
    queues = ("first", "second")
    with worker_of(
        guard, broker.url(vhost), queue_type, "queues", "--concurrency", "1", "-Q", ",".join(queues)
    ) as worker:
        for number in range(200):
            client.send("run", f"before {number}", queue=queues[number % 2])
        wait_until(lambda: len(ran(worker)) == 200, what="the first tasks", timeout_s=TIMEOUT_S)

        client.app.control.cancel_consumer("second")
        wait_until(lambda: client.consumers("second") == 0, what="no consumer", timeout_s=TIMEOUT_S)
        for number in range(20):
            client.send("run", f"after {number}", queue=queues[number % 2])
        wait_until(lambda: len(ran(worker)) == 210, what="the tasks of the other queue", timeout_s=TIMEOUT_S)
        assert client.ready("second") == 10

        client.app.control.add_consumer("second")
        wait_until(lambda: len(ran(worker)) == 220, what="the tasks of the queue again", timeout_s=TIMEOUT_S)
        assert set(ran(worker).values()) == {1}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_held_messages_go_back_at_once_when_the_worker_ends(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str, pool: str, tmp_path: Path
) -> None:
    """The worker that ends runs its long task to the end, and another one runs the rest meanwhile."""
    url, end = broker.url(vhost), tmp_path / "end"
    options = ("--concurrency", "1", "--pool", pool)
    with worker_of(guard, url, queue_type, "ending", *options) as ending:
        for number in range(100):
            client.send("run", f"short {number}")
        client.send("wait", "long", str(end))
        for number in range(100):
            client.send("run", f"behind {number}")
        wait_until(lambda: began(ending)["long"], what="the long task", timeout_s=TIMEOUT_S)
        ending.terminate()
        with worker_of(guard, url, queue_type, "other", *options) as other:
            wait_until(lambda: len(ran(ending, other)) >= 200, what="the short tasks", timeout_s=TIMEOUT_S)
            assert "long" not in ran(ending)
            end.touch()
            wait_until(lambda: not ending.running, what="the end of the worker", timeout_s=TIMEOUT_S)

            assert len(ran(ending, other)) == 201
            assert set(ran(ending, other).values()) == {1}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_nothing_is_lost_with_a_connection_while_messages_are_held(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str, pool: str
) -> None:
    """RabbitMQ has them back, and each is run."""
    with Proxy(broker.port) as proxy:
        url = broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/")
        with worker_of(guard, url, queue_type, "cut", "--concurrency", "2", "--pool", pool) as worker:
            texts = [str(number) for number in range(1500)]
            for number, text in enumerate(texts):
                client.send("run", text, 1.0 if number % 500 == 250 else 0.0)
            for done in (100, 400, 800):
                wait_until(lambda done=done: len(ran(worker)) >= done, what="some tasks", timeout_s=TIMEOUT_S)
                proxy.cut()
            # What was on its way at several cuts is run alone, one after the other: 35 s were measured.
            wait_until(lambda: len(ran(worker)) == len(texts), what="all tasks", timeout_s=2 * TIMEOUT_S)
            wait_until(lambda: client.ready() == 0, what="an empty queue", timeout_s=TIMEOUT_S)
