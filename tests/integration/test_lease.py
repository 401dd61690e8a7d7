"""Tasks that run longer than the broker's acknowledgement timeout."""

from __future__ import annotations

import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.delivery.consuming.lease import Lease
from proj.delivery.recovery.unblocked_publisher import unblocked_publisher
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES, WORK_QUEUE, work_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process
from tests.unit.delivery.consuming.received import received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

#: The broker's timeout as the worker is told; it takes a lease after four fifths of it.
TIMEOUT_S = 3
#: A lease that a test does not renew.
SHORT_S = 3.0
#: Seconds for anything that a busy machine does late.
WAIT_S = 60
LONG = "long" + 60 * "."


@pytest.fixture(autouse=True)
def _needs_leases(version: BrokerVersion) -> None:
    if version.lets_consumers_set_timeout:
        pytest.skip(f"On RabbitMQ {version} the worker sets the timeout instead; see test_consumer_timeout.py.")


@contextmanager
def running(guard: Guard, broker: Broker, vhost: str, queue_type: str, name: str) -> Iterator[Process]:
    """A worker of one slot that takes a dot for a tenth of a second."""
    worker = worker_process(
        f"{name}-{vhost}@host",
        *("--concurrency", "1"),
        guard=guard,
        broker_url=broker.url(vhost),
        PROJ_QUEUE_TYPE=queue_type,
        PROJ_DOT_SECONDS="0.1",
        PROJ_CONSUMER_TIMEOUT_SECONDS=str(TIMEOUT_S),
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


def leases(broker: Broker, vhost: str) -> list[str]:
    queues = broker.management.request("GET", f"queues/{vhost}?disable_stats=true&enable_queue_totals=true")
    return [queue["name"] for queue in queues if ".lease." in queue["name"]]


def test_leased_message_is_not_dropped_when_its_work_queue_is_full(guard: Guard, broker: Broker, vhost: str) -> None:
    """RabbitMQ drops an expired message when its target queue is full, unless it dead-letters at-least-once.

    RabbitMQ takes three minutes to try again when there is room, so the test does not wait for that.
    """
    with (
        running(guard, broker, vhost, "classic", "full") as worker,
        connected(app.connection_for_write(broker.url(vhost))) as connection,
    ):
        work.apply_async((LONG,), queue=work_queue("classic"), connection=connection, ignore_result=True)
        (name,) = wait_until(lambda: leases(broker, vhost), what="the lease", timeout_s=60)
        arguments = broker.management.request("GET", f"queues/{vhost}/{name}")["arguments"]
        worker.kill()

    assert arguments["x-queue-type"] == "quorum"
    assert (arguments["x-dead-letter-strategy"], arguments["x-overflow"]) == ("at-least-once", "reject-publish")


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_long_task_keeps_its_message_and_runs_once(guard: Guard, broker: Broker, vhost: str, queue_type: str) -> None:
    """The busy worker runs no other message while its own one is leased, and gives back what it held for a moment."""
    with (
        running(guard, broker, vhost, queue_type, f"once-{queue_type}") as worker,
        connected(app.connection_for_write(broker.url(vhost))) as connection,
    ):
        for message in (LONG, "next."):
            work.apply_async((message,), queue=work_queue(queue_type), connection=connection, ignore_result=True)
        wait_until(lambda: leases(broker, vhost), what="the lease", timeout_s=60)
        wait_until(lambda: "the message is leased" in worker.log_text(), what="the acknowledgement", timeout_s=60)

        # The next message waits in the queue for a free worker, and not in the busy one.
        wait_until(
            lambda: [depth.ready for depth in depths_by_declare(connection, [WORK_QUEUE])] == [1],
            what="the next message in its queue",
            timeout_s=10,
        )
        assert worker.log_text().count(" received") == 1

        wait_until(lambda: worker.log_text().count(" [x] Done") == 2, what="both tasks", timeout_s=60)
        wait_until(lambda: not leases(broker, vhost), what="the lease to end", timeout_s=60)
        assert worker.log_text().count(f"[x] Received '{LONG}'") == 1
        assert [depth.ready for depth in depths_by_declare(connection, [WORK_QUEUE])] == [0]


def test_leased_message_of_a_dead_worker_returns_to_its_queue(guard: Guard, broker: Broker, vhost: str) -> None:
    """Its lease is not renewed, so the message expires and another worker can run it."""
    with (
        running(guard, broker, vhost, "quorum", "dies") as worker,
        connected(app.connection_for_write(broker.url(vhost))) as connection,
    ):
        work.apply_async((LONG,), connection=connection, ignore_result=True)
        wait_until(lambda: "the message is leased" in worker.log_text(), what="the lease", timeout_s=60)
        worker.kill()

        wait_until(
            lambda: [depth.ready for depth in depths_by_declare(connection, [WORK_QUEUE])] == [1],
            what="the message to go back",
            timeout_s=60,
        )


def test_lease_that_is_held_does_not_expire_and_returns_at_once_when_its_worker_is_gone(
    broker: Broker, vhost: str
) -> None:
    """So a worker keeps its message while the broker takes no new copy of it."""
    connection = app.connection_for_write(broker.url(vhost))
    holder = app.connection_for_write(broker.url(vhost))
    leases: Any = SimpleNamespace(lease_s=SHORT_S)
    message = received(queue=WORK_QUEUE)

    def ready() -> dict[str, int]:
        return {depth.name: depth.ready for depth in depths_by_declare(connection, [lease.name, WORK_QUEUE])}

    with connected(connection), connected(holder):
        work_queue("quorum")(connection).declare()
        lease = Lease(leases, message)
        with unblocked_publisher(app.connection_for_write(broker.url(vhost))) as publish:
            lease.take(holder.connection, publish)
            lease.hold(holder.connection)
            expired = time.monotonic() + SHORT_S + 1
            wait_until(lambda: time.monotonic() > expired, what="the end of the lease", timeout_s=WAIT_S)
            assert ready() == {lease.name: 0, WORK_QUEUE: 0}
            lease.renew(holder.connection, publish)
        lease.hold(holder.connection)
        assert ready() == {lease.name: 0, WORK_QUEUE: 0}

        expired = time.monotonic() + SHORT_S
        wait_until(lambda: time.monotonic() > expired, what="the end of the lease", timeout_s=WAIT_S)
        holder.collect()
        wait_until(lambda: ready() == {lease.name: 0, WORK_QUEUE: 1}, what="the message", timeout_s=WAIT_S)
