"""A worker's prefetch count when its pool grows or shrinks, and when it connects again."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.errors import NoManagement
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES, WORK_QUEUE, work_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

#: Seconds of one task: enough, also on a busy machine, for three messages to arrive before the first is done.
MESSAGE = "held."
HELD_S = 6.0
#: Seconds for everything else, on a busy machine.
TIMEOUT_S = 60


@contextmanager
def running(
    guard: Guard, url: str, queue_type: str, *options: str, dispatch: str = "fair", held_s: float = HELD_S
) -> Iterator[Process]:
    """A worker with these options, where one task takes `held_s` seconds."""
    worker = worker_process(
        f"prefetch-{url.rpartition('/')[2]}@host",
        *options,
        guard=guard,
        broker_url=url,
        PROJ_DISPATCH=dispatch,
        PROJ_QUEUE_TYPE=queue_type,
        PROJ_DOT_SECONDS=str(held_s),
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


def send_three(url: str, queue_type: str) -> Callable[[], int]:
    """Publish three messages, and return a function that counts those that are left in the queue."""
    with connected(app.connection_for_write(url)) as connection:
        for _ in range(3):
            work.apply_async((MESSAGE,), queue=work_queue(queue_type), connection=connection, ignore_result=True)

    def left() -> int:
        with connected(app.connection_for_write(url)) as connection:
            return depths_by_declare(connection, [WORK_QUEUE])[0].ready

    return left


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_prefetch_count_follows_a_pool_that_is_grown_and_shrunk(
    guard: Guard, broker: Broker, vhost: str, queue_type: str
) -> None:
    """With three slots three messages run at once; with one slot again, the others stay in the queue."""
    url = broker.url(vhost)
    with (
        Celery(broker=url, set_as_current=False) as client,
        running(guard, url, queue_type, "--concurrency", "1") as worker,
    ):
        client.control.pool_grow(2)
        wait_until(
            lambda: "Prefetch count set to 3" in worker.log_text(), what="the prefetch count", timeout_s=TIMEOUT_S
        )
        send_three(url, queue_type)
        wait_until(lambda: worker.log_text().count("[x] Received") == 3, what="three at work", timeout_s=TIMEOUT_S)
        assert "[x] Done" not in worker.log_text()

        # Celery shrinks a pool by processes whose results the main process has.
        wait_until(lambda: worker.log_text().count(" succeeded in ") == 3, what="the three", timeout_s=TIMEOUT_S)
        client.control.pool_shrink(2)
        wait_until(
            lambda: "Prefetch count set to 1" in worker.log_text(), what="the prefetch count", timeout_s=TIMEOUT_S
        )
        left = send_three(url, queue_type)
        wait_until(lambda: worker.log_text().count("[x] Received") == 4, what="one at work", timeout_s=TIMEOUT_S)
        assert (left(), worker.log_text().count(" received")) == (2, 4)


@pytest.mark.parametrize("dispatch", ["fair", "adaptive"])
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_autoscaled_pool_still_grows_after_a_lost_connection(
    guard: Guard, broker: Broker, vhost: str, queue_type: str, dispatch: str
) -> None:
    """It was idle with one process; a prefetch count of one would never show it that there is work for more."""
    url = broker.url(vhost)
    # No task is to end before the pool has grown, which takes a busy machine many seconds.
    with running(guard, url, queue_type, "--autoscale", "3,1", dispatch=dispatch, held_s=TIMEOUT_S) as worker:
        names = wait_until(lambda: connections(broker, vhost), what="the list of connections", timeout_s=TIMEOUT_S)
        for name in names:
            # One may have ended by itself since.
            with contextlib.suppress(NoManagement):
                broker.management.request("DELETE", f"connections/{quote(name, safe='')}")
        wait_until(
            lambda: worker.log_text().count("Connected to amqp") == 2, what="the new connection", timeout_s=TIMEOUT_S
        )

        send_three(url, queue_type)

        wait_until(lambda: worker.log_text().count("[x] Received") == 3, what="three at work", timeout_s=TIMEOUT_S)
        assert "[x] Done" not in worker.log_text()


def is_idle(client: Celery) -> bool:
    active = client.control.inspect().active()
    return bool(active) and not any(active.values())


def connections(broker: Broker, vhost: str) -> list[str]:
    return [each["name"] for each in broker.management.request("GET", f"vhosts/{vhost}/connections") if "name" in each]
