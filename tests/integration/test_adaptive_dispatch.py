"""Adaptive dispatch on a real broker: messages come in advance, and no message waits behind a long task."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS, QUEUE_TYPES, TASKS, WORK_QUEUE, quarantine_queue, work_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

TIMEOUT_S = 60
#: What our task logs of a message when it begins and when it has ended.
RECEIVED = re.compile(r"\[x\] Received '(.*?)'")
DONE = re.compile(r"\[x\] Done '(.*?)'|Task proj\.tasks\.work\[.*?\] succeeded .*?'message': '(.*?)'")


@contextmanager
def adaptive_worker(guard: Guard, url: str, queue_type: str, name: str, *options: str, **env: str) -> Iterator[Process]:
    worker = worker_process(
        f"{name}-{url.rpartition('/')[2]}@host",
        *("--concurrency", "1", *options),
        guard=guard,
        broker_url=url,
        PROJ_DISPATCH="adaptive",
        PROJ_QUEUE_TYPE=queue_type,
        **env,
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


def send(url: str, texts: list[str], *queues: str) -> None:
    """Publish the messages, one to each queue in turn; a worker has declared the queues."""
    # Not ours, which would declare the queue with its own type.
    sender = Celery("sender", broker=url, set_as_current=False)
    # RabbitMQ 3.10 may lose what a connection has published to a quorum queue and not seen confirmed when it is closed.
    sender.conf.broker_transport_options = {"confirm_publish": True}
    with sender, connected(sender.connection_for_write()) as connection, sender.amqp.Producer(connection) as producer:
        for number, text in enumerate(texts):
            key = queues[number % len(queues)] if queues else WORK_QUEUE
            sender.send_task(
                work.name,
                (text,),
                exchange=key if queues else TASKS.name,
                routing_key=key,
                producer=producer,
                ignore_result=True,
            )


def done(*workers: Process) -> list[str]:
    """The texts of the tasks that ended, sorted, each as often as it did."""
    logs = "".join(worker.log_text() for worker in workers)
    return sorted(first or second for first, second in re.findall(DONE, logs))


def stats(url: str) -> dict[str, Any]:
    """What the only worker of the virtual host says of its dispatch."""
    with Celery(broker=url, set_as_current=False) as client:
        replies = wait_until(lambda: client.control.inspect(timeout=5).stats(), what="a reply", timeout_s=TIMEOUT_S)
    (reply,) = replies.values()
    said: dict[str, Any] = reply["dispatch"]
    return said


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_worker_of_short_tasks_asks_for_messages_in_advance(
    guard: Guard, broker: Broker, vhost: str, queue_type: str
) -> None:
    """And runs each of them once."""
    texts = [str(number) for number in range(400)]
    url = broker.url(vhost)
    with adaptive_worker(guard, url, queue_type, "ahead") as worker:
        send(url, texts)
        wait_until(lambda: len(done(worker)) >= len(texts), what="all tasks", timeout_s=TIMEOUT_S)

        said = stats(url)
        assert done(worker) == sorted(texts)
    assert said["mode"] == "adaptive"
    assert said["window"] > 1


@pytest.mark.parametrize(
    ("queue_type", "pool"),
    [
        *((queue_type, "prefork") for queue_type in QUEUE_TYPES),
        pytest.param("quorum", "threads", marks=pytest.mark.one_version),
    ],
)
def test_messages_behind_a_long_task_are_run_by_another_worker(
    guard: Guard, broker: Broker, vhost: str, queue_type: str, pool: str
) -> None:
    """The worker that has the long task gives back what it holds, so all others end before the long one."""
    url = broker.url(vhost)
    before = [f"before {number}" for number in range(300)]
    after = [f"after {number}" for number in range(100)]
    with (
        adaptive_worker(guard, url, queue_type, "first", "--pool", pool, PROJ_DOT_SECONDS="15") as first,
        adaptive_worker(guard, url, queue_type, "second", "--pool", pool, PROJ_DOT_SECONDS="15") as second,
    ):
        send(url, [*before, "long.", *after])
        wait_until(lambda: len(done(first, second)) >= 400, what="all but the long one", timeout_s=TIMEOUT_S)

        logs = first.log_text() + second.log_text()
    assert "Received 'long.'" in logs
    assert done(first, second) == sorted([*before, *after])


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_message_that_was_given_back_often_is_neither_doubled_nor_a_suspect(
    guard: Guard, broker: Broker, vhost: str, queue_type: str
) -> None:
    """Every long task makes the worker give back what it holds; whatever the broker counts, no worker has died.

    All messages are there before the worker. RabbitMQ before 4.3 also counts those that it was about to send to a
    quorum queue's consumer when that was cancelled (docs/dispatch.md).
    """
    url = broker.url(vhost)
    with connected(app.connection_for_write(url)) as connection:
        work_queue(queue_type)(connection.default_channel).declare()
    # A long one after every sixty short ones.
    texts = [text for part in range(12) for text in (*(f"{part} {number}" for number in range(60)), f"long {part}.")]
    send(url, texts)
    with adaptive_worker(guard, url, queue_type, "back", PROJ_DOT_SECONDS="0.3") as worker:
        wait_until(lambda: len(done(worker)) >= len(texts), what="all tasks", timeout_s=TIMEOUT_S)
        with connected(app.connection_for_write(url)) as connection:
            names = [WORK_QUEUE, quarantine_queue(WORK_QUEUE), DEAD_LETTERS]
            wait_until(
                lambda: not any(depth.ready for depth in depths_by_declare(connection, names)),
                what="empty queues",
                timeout_s=TIMEOUT_S,
            )
        said = stats(url)
        log = worker.log_text()

    assert said["given_back"] > 0
    assert done(worker) == sorted(texts)
    assert "redelivered after its worker died" not in log


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_worker_of_three_queues_holds_one_long_task(guard: Guard, broker: Broker, vhost: str, queue_type: str) -> None:
    """With one slot: the other messages stay in their queues, or are back there after the budget."""
    url = broker.url(vhost)
    queues = ["first", "second", "third"]
    with adaptive_worker(
        guard, url, queue_type, "three", "--queues", ",".join(queues), PROJ_DOT_SECONDS="200"
    ) as worker:
        send(url, [f"{number}." for number in range(6)], *queues)
        with connected(app.connection_for_write(url)) as connection:
            wait_until(
                lambda: sum(depth.ready for depth in depths_by_declare(connection, queues)) == 5,
                what="five messages in their queues",
                timeout_s=TIMEOUT_S,
            )
        assert len(RECEIVED.findall(worker.log_text())) == 1
