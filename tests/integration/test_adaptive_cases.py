"""Adaptive dispatch in an app that is not ours: tasks, commands and faults of every kind, on a real broker."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

TIMEOUT_S = 90
NAME = "adaptive_app"
POOLS = ("prefork", "threads")


@contextmanager
def worker_of(guard: Guard, url: str, queue_type: str, name: str, *options: str) -> Iterator[Process]:
    worker = worker_process(
        f"{name}-{url.rpartition('/')[2]}@host",
        *options,
        guard=guard,
        broker_url=url,
        app=NAME,
        PROJ_QUEUE_TYPE=queue_type,
        PYTHONPATH=str(Path(__file__).parent),
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


class Client:
    """Sends tasks and commands to one virtual host, and counts what is in its queues."""

    def __init__(self, url: str) -> None:
        self.app = Celery(broker=url, set_as_current=False)
        self._connected = connected(self.app.connection_for_write(url))
        self.connection = self._connected.__enter__()

    def send(self, task: str, text: str, *arguments: Any, queue: str = "first", **options: Any) -> str:
        sent = self.app.send_task(
            f"{NAME}.{task}",
            (text, *arguments),
            exchange=queue,
            routing_key=queue,
            connection=self.connection,
            ignore_result=True,
            **options,
        )
        return str(sent.id)

    def ready(self, *queues: str) -> int:
        return sum(depth.ready for depth in depths_by_declare(self.connection, queues or ("first",)))

    def consumers(self, queue: str) -> int:
        return sum(depth.consumers for depth in depths_by_declare(self.connection, [queue]))

    def close(self) -> None:
        self._connected.__exit__(None, None, None)
        self.app.close()


@pytest.fixture
def client(broker: Broker, vhost: str) -> Iterator[Client]:
    made = Client(broker.url(vhost))
    yield made
    made.close()


def ran(*workers: Process) -> Counter[str]:
    """How often each text was run to its end."""
    return Counter(re.findall(r"\bran '(.*?)'", "".join(worker.log_text() for worker in workers)))


def began(worker: Process) -> Counter[str]:
    return Counter(re.findall(r"\bbegan '(.*?)'", worker.log_text()))


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
        wait_until(lambda: client.ready() == 0, what="an empty queue", timeout_s=10)

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
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str, pool: str
) -> None:
    """The worker that ends runs its long task to the end, and another one runs the rest meanwhile."""
    url = broker.url(vhost)
    options = ("--concurrency", "1", "--pool", pool)
    with worker_of(guard, url, queue_type, "ending", *options) as ending:
        for number in range(100):
            client.send("run", f"short {number}")
        client.send("run", "long", 20)
        for number in range(100):
            client.send("run", f"behind {number}")
        wait_until(lambda: began(ending)["long"], what="the long task", timeout_s=TIMEOUT_S)
        ending.terminate()
        with worker_of(guard, url, queue_type, "other", *options) as other:
            wait_until(lambda: len(ran(ending, other)) >= 200, what="the short tasks", timeout_s=TIMEOUT_S)
            assert "long" not in ran(ending)
            wait_until(lambda: not ending.running, what="the end of the worker", timeout_s=TIMEOUT_S)

            assert len(ran(ending, other)) == 201
            assert set(ran(ending, other).values()) == {1}


@pytest.mark.timeout(240)
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
            wait_until(lambda: len(ran(worker)) == len(texts), what="all tasks", timeout_s=TIMEOUT_S)
            wait_until(lambda: client.ready() == 0, what="an empty queue", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_worker_has_as_many_tasks_as_its_pool_has_slots_when_it_is_grown(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str
) -> None:
    """`pool_grow` lets two more run."""
    with worker_of(guard, broker.url(vhost), queue_type, "pool", "--concurrency", "1") as worker:
        for number in range(9):
            client.send("run", str(number), 8)
        wait_until(lambda: client.ready() == 8, what="one message in hand", timeout_s=TIMEOUT_S)

        client.app.control.pool_grow(2)
        wait_until(lambda: sum(began(worker).values()) == 3, what="three tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: client.ready() == 6, what="three messages in hand", timeout_s=10)
