"""Messages that a worker holds by its prefetch count when it is told to end, on a real broker."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from proj.broker.connection import connected, open_channel
from proj.broker.queue_depths import depths_by_declare
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS, TASKS, WORK_QUEUE, quarantine_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

TIMEOUT_S = 60
#: Workers that hold the same messages one after the other and are told to end: more than quarantine a message.
WORKERS = 5
#: Messages that each of them holds beside the one that it runs.
HELD = 3
#: What Celery logs of a task that has ended.
DONE = re.compile(r"Task proj\.tasks\.work\[.*?\] succeeded .*?'message': '(.*?)'")


# It starts six workers in turn, which takes minutes on a busy machine.
@pytest.mark.timeout(480)
@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_message_that_many_workers_held_and_gave_back_is_no_suspect(
    broker: Broker, vhost: str, guard: Guard, tmp_path: Path, queue_type: str
) -> None:
    """A warm shutdown is no crash: whatever the broker counts, the message is run like any other, and once."""
    texts = [f"{number}." for number in range(WORKERS + HELD)]
    logs: list[Process] = []
    # Not ours, which would declare the queue with its own type.
    sender = Celery("sender", broker=broker.url(vhost), set_as_current=False)
    with connected(sender.connection_for_write()) as connection, sender:
        for turn in range(WORKERS + 1):
            worker = worker_process(
                f"held-{turn}@host",
                *("--concurrency", "1", "--prefetch-multiplier", str(HELD + 1)),
                guard=guard,
                broker_url=broker.url(vhost),
                folder=tmp_path,
                PROJ_DISPATCH="fair",
                PROJ_QUEUE_TYPE=queue_type,
                PROJ_DOT_SECONDS="0.7",
            )
            worker.start()
            wait_until_ready(worker)
            if turn == 0:
                for text in texts:
                    sender.send_task(
                        work.name, (text,), exchange=TASKS.name, routing_key=WORK_QUEUE, ignore_result=True
                    )
            wait_until(
                partial(holds, worker) if turn < WORKERS else partial(has_done, [*logs, worker], texts),
                what="messages in hand, or the last ones done",
                timeout_s=TIMEOUT_S,
            )
            worker.terminate()
            wait_until(partial(has_ended, worker), what="the end of the worker", timeout_s=TIMEOUT_S)
            logs.append(worker)
        depths = depths_by_declare(connection, [WORK_QUEUE, quarantine_queue(WORK_QUEUE), DEAD_LETTERS])

    assert done(logs) == sorted(texts)
    assert "redelivered after its worker died" not in "".join(log.log_text() for log in logs)
    assert {depth.ready for depth in depths} == {0}


@pytest.mark.parametrize("answers_again", [True, False], ids=["cut", "gone"])
def test_worker_that_loses_its_connection_while_it_ends_doubles_nothing(
    broker: Broker, vhost: str, guard: Guard, tmp_path: Path, *, answers_again: bool
) -> None:
    """RabbitMQ has its messages back then, so it may not publish copies too; and it ends in order."""
    sender = Celery("sender", broker=broker.url(vhost), set_as_current=False)
    with Proxy(broker.port) as proxy, connected(sender.connection_for_write()) as connection, sender:
        worker = worker_process(
            "losing@host",
            *("--concurrency", "1", "--prefetch-multiplier", str(HELD + 1)),
            guard=guard,
            broker_url=broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/"),
            folder=tmp_path,
            PROJ_DISPATCH="fair",
            PROJ_QUEUE_TYPE="classic",
            PROJ_DOT_SECONDS="4",
        )
        worker.start()
        wait_until_ready(worker)
        ids = [
            sender.send_task(work.name, ("one.",), exchange=TASKS.name, routing_key=WORK_QUEUE, ignore_result=True).id
            for _ in range(HELD + 1)
        ]
        wait_until(partial(holds, worker), what="messages in hand", timeout_s=TIMEOUT_S)
        worker.terminate()
        wait_until(lambda: "Warm shutdown" in worker.log_text(), what="the warm shutdown", timeout_s=TIMEOUT_S)
        if not answers_again:
            proxy.refuse()
        assert proxy.cut()
        wait_until(partial(has_ended, worker), what="the end of the worker", timeout_s=TIMEOUT_S)
        channel = open_channel(connection)
        left = [message.headers["id"] for message in iter(lambda: channel.basic_get(WORK_QUEUE, no_ack=True), None)]

    assert worker.returncode == 0, worker.log_text()
    assert sorted(left) == sorted(ids)


def holds(worker: Process) -> bool:
    """Whether it has as many messages as it may."""
    return worker.log_text().count("] received") > HELD


def has_ended(worker: Process) -> bool:
    return not worker.running


def has_done(workers: list[Process], texts: list[str]) -> bool:
    return done(workers) == sorted(texts)


def done(workers: list[Process]) -> list[str]:
    """The texts whose tasks ended, each as often as it did."""
    return sorted(text for worker in workers for text in DONE.findall(worker.log_text()))
