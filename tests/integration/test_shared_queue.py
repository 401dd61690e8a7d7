"""One work queue is shared by Celery's workers and the tutorials' programs."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pika
import pytest

from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import WORK_QUEUE
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

#: How the old tutorials declare the queue, and how today's do.
DECLARATIONS = {"classic": None, "quorum": {"x-queue-type": "quorum"}}
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
TEXTS = [f"message {number}." for number in range(12)]


@pytest.fixture(params=DECLARATIONS)
def queue_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def channel(broker: Broker, vhost: str, queue_type: str) -> Iterator[BlockingChannel]:
    """A channel of the tutorials' client, with the queue that they declare and their `basic_qos(prefetch_count=1)`."""
    with pika.BlockingConnection(pika.URLParameters(broker.url(vhost))) as connection:
        channel = connection.channel()
        channel.queue_declare(WORK_QUEUE, durable=True, arguments=DECLARATIONS[queue_type])
        channel.basic_qos(prefetch_count=1)
        yield channel


@pytest.fixture
def worker(guard: Guard, broker: Broker, vhost: str, queue_type: str, channel: BlockingChannel) -> Iterator[Worker]:
    """A worker of one slot on the queue that the tutorial's program declared."""
    assert channel.is_open
    worker = Worker(
        f"shared@{vhost}",
        guard=guard,
        broker_url=broker.url(vhost),
        queue=WORK_QUEUE,
        dispatch="adaptive",
        slots=1,
        dot_seconds=0.02,
        queue_type=queue_type,
    )
    worker.start()
    wait_until_ready(worker)
    yield worker
    worker.kill()


def worked_on(worker: Worker) -> list[str]:
    """The texts of the messages that the worker has worked on."""
    return re.findall(r"succeeded in .*'message': '([^']*)'", worker.log_text())


def test_tutorials_worker_and_celerys_share_a_queue_and_neither_waits_for_the_other(
    channel: BlockingChannel, worker: Worker
) -> None:
    """Each message is worked on once. While one worker is busy, the other one works on all the rest."""
    taken: list[tuple[int, str]] = []

    def callback(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        taken.append((method.delivery_tag, body.decode()))

    channel.basic_consume(WORK_QUEUE, on_message_callback=callback)
    for text in TEXTS:
        channel.basic_publish("", WORK_QUEUE, text, PERSISTENT)

    def others_are_done() -> bool:
        channel.connection.process_data_events(0.05)
        return len(worked_on(worker)) == len(TEXTS) - 1

    wait_until(others_are_done, what="the worker to do what the busy client has not", timeout_s=60)
    ((tag, mine),) = taken
    channel.basic_ack(tag)

    assert Counter([mine, *worked_on(worker)]) == Counter(TEXTS)
    assert channel.queue_declare(WORK_QUEUE, passive=True).method.message_count == 0
