"""A worker whose consumer the broker cancels: at an acknowledgement timeout, or because its queue is gone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.lab.broker import Broker
from proj.lab.processes.waiting import wait_until
from proj.queues import WORK_QUEUE, work_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

#: The broker's acknowledgement timeout, which the worker is not told.
TIMEOUT_S = 5
#: Longer than the timeout, and short tasks for all that time. A dot takes a tenth of a second.
LONG = "long" + 75 * "."
SHORT = [f"short{number}" + 15 * "." for number in range(6)]


@pytest.fixture
def impatient(guard: Guard) -> Iterator[Broker]:
    """A broker of its own with a short acknowledgement timeout."""
    with Broker(guard, settings={"consumer_timeout": str(TIMEOUT_S * 1000)}) as broker:
        yield broker


@contextmanager
def running(guard: Guard, url: str, *, slots: int, dispatch: str = "fair") -> Iterator[Process]:
    """A worker that consumes a quorum queue and takes no leases."""
    worker = worker_process(
        "cancelled@host",
        *("--concurrency", str(slots)),
        guard=guard,
        broker_url=url,
        PROJ_QUEUE_TYPE="quorum",
        PROJ_DISPATCH=dispatch,
        PROJ_DOT_SECONDS="0.1",
        PROJ_CONSUMER_TIMEOUT_SECONDS="0",
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


def is_consumed(connection: Connection) -> bool:
    """Whether the work queue exists and has its consumer."""
    return [depth.consumers for depth in depths_by_declare(connection, [WORK_QUEUE])] == [1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("dispatch", ["fair", "adaptive"])
def test_timeout_of_a_long_task_does_not_run_its_neighbours_again(
    guard: Guard, impatient: Broker, dispatch: str
) -> None:
    """RabbitMQ 4.3 cancels one consumer; a worker that reconnected would give back all that it runs."""
    if not impatient.version.cancels_at_timeout:
        pytest.skip(f"RabbitMQ {impatient.version} closes the channel, and takes everything back itself.")
    with (
        running(guard, impatient.url(), slots=2, dispatch=dispatch) as worker,
        connected(app.connection_for_write(impatient.url())) as connection,
    ):
        for message in (LONG, *SHORT):
            work.apply_async((message,), queue=work_queue("quorum"), connection=connection, ignore_result=True)

        def starts(message: str) -> int:
            return worker.log_text().count(f"[x] Received '{message}'")

        wait_until(lambda: starts(LONG) > 1, what="the redelivery of the long task", timeout_s=60)
        wait_until(lambda: all(map(starts, SHORT)), what="the other tasks", timeout_s=60)

    assert [starts(message) for message in SHORT] == [1] * len(SHORT)


def test_worker_consumes_again_from_a_queue_that_was_deleted(guard: Guard, broker: Broker, vhost: str) -> None:
    """The broker cancels its consumer, and the worker declares the queue anew."""
    with (
        running(guard, broker.url(vhost), slots=1) as worker,
        connected(app.connection_for_write(broker.url(vhost))) as connection,
    ):
        wait_until(lambda: is_consumed(connection), what="the worker to consume", timeout_s=60)

        connection.default_channel.queue_delete(WORK_QUEUE)

        wait_until(lambda: is_consumed(connection), what="the worker to consume again", timeout_s=60)
        work.apply_async(("after.",), queue=work_queue("quorum"), connection=connection, ignore_result=True)
        wait_until(lambda: "[x] Received 'after.'" in worker.log_text(), what="its task", timeout_s=60)
