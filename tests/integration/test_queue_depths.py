"""The depths of queues on a real broker: current, and read without keeping an unused queue alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu import Connection

from proj.broker.queue_depths import Depth, QueueDepths
from proj.lab.processes.waiting import wait_until
from proj.queues import broadcast_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker

#: Milliseconds; one reading takes some hundredths of a second.
EXPIRES_MS = 1500


@pytest.fixture
def queue_depths(broker: Broker, vhost: str) -> Iterator[QueueDepths]:
    """The reader that `celery queues` uses."""
    app = Celery("theirs", broker=broker.url(vhost), set_as_current=False)
    yield QueueDepths(app, broker_api=broker.management_url)
    app.close()


def there(queue_depths: QueueDepths, name: str) -> Depth | None:
    return next((depth for depth in queue_depths.read() if depth.name == name), None)


def test_repeated_readings_let_the_broadcast_queue_of_a_dead_worker_expire(
    broker: Broker, vhost: str, queue_depths: QueueDepths
) -> None:
    """It has a message in it, so it is shown. The broker deletes it when its worker does not use it in time."""
    queue = broadcast_queue("dead@host")
    queue.queue_arguments = {**queue.queue_arguments, "x-expires": 4 * EXPIRES_MS}
    with Connection(broker.url(vhost)) as connection:
        queue(connection.default_channel).queue_declare()
        connection.Producer().publish(b"x", exchange="", routing_key=queue.name)
        wait_until(
            lambda: getattr(there(queue_depths, queue.name), "ready", 0),
            what="its message",
            timeout_s=4 * EXPIRES_MS / 1000,
        )

        wait_until(lambda: there(queue_depths, queue.name) is None, what="the queue's end", timeout_s=60)


def test_repeated_readings_let_a_queue_expire_by_policy(broker: Broker, vhost: str, queue_depths: QueueDepths) -> None:
    """That holds for any queue that is not used."""
    policy = {"pattern": "^theirs$", "definition": {"expires": EXPIRES_MS}, "apply-to": "queues"}
    with Connection(broker.url(vhost)) as connection:
        connection.default_channel.queue_declare("theirs", durable=True, auto_delete=False)
        assert there(queue_depths, "theirs")

        broker.management.request("PUT", f"policies/{vhost}/theirs", policy)
        wait_until(lambda: there(queue_depths, "theirs") is None, what="the queue's end", timeout_s=60)


def test_queue_that_does_not_expire_is_counted_now(broker: Broker, vhost: str, queue_depths: QueueDepths) -> None:
    """The count is not that of the last tick of the broker's statistics."""
    with Connection(broker.url(vhost)) as connection:
        channel = connection.default_channel
        channel.queue_declare("theirs", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        for number in range(1, 4):
            producer = connection.Producer(channel=connection.channel())
            producer.publish(b"x", exchange="", routing_key="theirs")
            wait_until(
                lambda number=number: getattr(there(queue_depths, "theirs"), "ready", 0) == number,
                what="it",
                timeout_s=2,
            )
