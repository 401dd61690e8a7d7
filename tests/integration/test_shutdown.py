"""A worker that is told to stop while a pool process was given a task and has not accepted it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import WORK_QUEUE
from proj.tasks import work
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

#: Seconds that the end of a worker may take beyond its task on a busy machine: two are Celery's own, to end its pool.
#: Stock Celery takes 31.
SLACK_S = 20.0


@pytest.fixture
def slots() -> int:
    """Slots of the worker."""
    return 1


@pytest.fixture
def worker(guard: Guard, broker: Broker, vhost: str, slots: int) -> Iterator[Worker]:
    """A worker on its own virtual host."""
    worker = Worker(
        f"leaving-{vhost}@host",
        guard=guard,
        broker_url=broker.url(vhost),
        queue=WORK_QUEUE,
        dispatch="adaptive",
        slots=slots,
        dot_seconds=0.1,
    )
    with worker:
        wait_until_ready(worker)
        yield worker


@pytest.mark.parametrize("length", [0, 200_000], ids=["whole", "half-written"])
def test_warm_shutdown_runs_the_task_that_the_pool_was_given_once_and_then_ends_at_once(
    worker: Worker, broker: Broker, vhost: str, length: int
) -> None:
    """Stock Celery forgets such a task: it is run again by the next worker, and the end of this one takes 31 s.

    A pipe holds 64 KiB, so a longer message is half written when the worker is told to stop.
    """
    (process,) = psutil.Process(worker.pid).children()
    os.kill(process.pid, signal.SIGSTOP)
    with connected(app.connection_for_write(broker.url(vhost))) as connection:
        work.apply_async(("given.." + "x" * length,), connection=connection, ignore_result=True)
        wait_until_written(worker, connection)

        worker.terminate()
        wait_until(lambda: "Warm shutdown waits" in worker.log_text(), what="the warm shutdown", timeout_s=60)
        os.kill(process.pid, signal.SIGCONT)
        begun = time.monotonic()
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=60)

        assert time.monotonic() - begun < SLACK_S
        assert worker.log_text().count(" [x] Done") == 1
        assert [depth.ready for depth in depths_by_declare(connection, [WORK_QUEUE])] == [0]


def test_cold_shutdown_gives_back_the_task_that_is_half_written_to_its_process_and_ends(
    worker: Worker, broker: Broker, vhost: str
) -> None:
    """Stock Celery waits for its result in the signal handler, where nobody writes the rest, and never ends."""
    (process,) = psutil.Process(worker.pid).children()
    os.kill(process.pid, signal.SIGSTOP)
    with connected(app.connection_for_write(broker.url(vhost))) as connection:
        work.apply_async(("given.." + "x" * 200_000,), connection=connection, ignore_result=True)
        wait_until_written(worker, connection)

        os.kill(worker.pid, signal.SIGQUIT)
        wait_until(lambda: "will terminate all running tasks" in worker.log_text(), what="the shutdown", timeout_s=60)
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=60)

        assert " [x] Received" not in worker.log_text()
        wait_until(
            lambda: [depth.ready for depth in depths_by_declare(connection, [WORK_QUEUE])] == [1],
            what="the message in its queue",
            timeout_s=30,
        )


@pytest.mark.parametrize("slots", [2])
def test_cold_shutdown_waits_for_a_task_beside_one_that_is_half_written_to_its_process(
    worker: Worker, broker: Broker, vhost: str
) -> None:
    """The pool takes that process out of the loop meanwhile. An error there would end what the signal interrupted.

    A message that was just being given to the pool became a dead letter.
    """
    processes = psutil.Process(worker.pid).children()
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    with connected(app.connection_for_write(broker.url(vhost))) as connection:
        for text in ("beside..........", "half" + "x" * 200_000):
            work.apply_async((text,), connection=connection, ignore_result=True)
        wait_until(lambda: worker.log_text().count("] received") == 2, what="the tasks", timeout_s=60)
        wait_until_written(worker, connection)

        os.kill(worker.pid, signal.SIGQUIT)
        wait_until(lambda: "will terminate all running tasks" in worker.log_text(), what="the shutdown", timeout_s=60)
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=60)

        assert " [x] Done" in worker.log_text()
        # Celery says so at the end of its handler.
        assert "Cold shutdown" in worker.log_text()


def wait_until_written(worker: Worker, connection: Connection) -> None:
    """Wait until the worker has received a task and its loop has written to the process, as much as fits."""
    wait_until(lambda: "] received" in worker.log_text(), what="the task", timeout_s=60)
    # The loop has gone round when the worker answers.
    asker = Celery("asker", broker=connection.as_uri(include_password=True), set_as_current=False)
    assert asker.control.ping(destination=[worker.node], timeout=10, limit=1, connection=connection)
    asker.pool.force_close_all()
