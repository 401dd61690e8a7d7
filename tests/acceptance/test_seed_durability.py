"""The tutorials' statements about what outlives the broker, on one that is stopped in order and then killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pika
import pytest

from proj.broker.queue_depths import depths_by_management
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.queues import QUORUM

from .tutorial_shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.processes.guard import Guard

ENDS = ("quits", "crashes")
#: The broker of this file takes back what was not acknowledged for so long.
CONSUMER_TIMEOUT_MS = 1500
#: Messages that each queue is given before the broker ends.
MESSAGES = ["Hello", "world"]
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
TRANSIENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Transient)


@dataclass
class Queue:
    """A queue as a tutorial declares it, and how its messages are published."""

    name: str
    durable: bool
    properties: pika.BasicProperties
    type: str | None = None


HELLO = Queue("hello", durable=False, properties=TRANSIENT)
HELLO_PERSISTENT = Queue("hello_persistent", durable=False, properties=PERSISTENT)
DURABLE = Queue("durable", durable=True, properties=TRANSIENT)
TASK_QUEUE = Queue("task_queue.tutorial", durable=True, properties=PERSISTENT)
QUORUM_QUEUE = Queue("quorum", durable=True, properties=TRANSIENT, type=QUORUM)
QUEUES = (HELLO, HELLO_PERSISTENT, DURABLE, TASK_QUEUE, QUORUM_QUEUE)


def fill(broker: Broker) -> None:
    """Declare every queue, and publish the messages to each, confirmed."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in QUEUES:
            arguments = {"x-queue-type": queue.type} if queue.type else None
            channel.queue_declare(queue.name, durable=queue.durable, arguments=arguments)
            for message in MESSAGES:
                channel.basic_publish("", queue.name, message.encode(), queue.properties, mandatory=True)


def send(broker: Broker, folder: Path) -> None:
    """`celery -A proj send`, as it is typed."""
    subprocess.run(
        [sys.executable, "-m", "celery", "-A", "proj", "send", *MESSAGES],
        env=child_environment(CELERY_BROKER_URL=broker.url()),
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


def left(broker: Broker) -> dict[str, int]:
    """Messages of each queue that is there; afterwards all of it is emptied for the next time."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        depths = [depth.name for depth in depths_by_management(broker.management)]
        channel = connection.channel()
        return {name: channel.queue_purge(name).method.message_count for name in depths}


@pytest.fixture(scope="module")
def broker(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this file's own, which may be stopped."""
    folder = tmp_path_factory.mktemp("broker")
    with Broker(guard, folder=folder, settings={"consumer_timeout": str(CONSUMER_TIMEOUT_MS)}) as broker:
        yield broker
        broker.kill()


@pytest.fixture(scope="module")
def after(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """How many messages were in each queue that was there after the broker had quit, and after it had crashed."""
    fill(broker)
    send(broker, tmp_path_factory.mktemp("send"))
    broker.restart()
    after_quit = left(broker)
    fill(broker)
    send(broker, tmp_path_factory.mktemp("send"))
    broker.kill()
    broker.start()
    return {"quits": after_quit, "crashes": left(broker)}


@pytest.mark.parametrize("end", ENDS)
def test_queue_that_is_not_durable_is_forgotten_when_the_broker(after: dict[str, dict[str, int]], end: str) -> None:
    """With its messages, be they persistent: both are required."""
    assert HELLO.name not in after[end]
    assert HELLO_PERSISTENT.name not in after[end]


@pytest.mark.parametrize("end", ENDS)
def test_durable_queue_survives_but_not_its_transient_messages_when_the_broker(
    after: dict[str, dict[str, int]], end: str
) -> None:
    """Durable is the queue; the messages in it have to be marked as well."""
    assert after[end][DURABLE.name] == 0


@pytest.mark.parametrize("end", ENDS)
def test_persistent_messages_of_a_durable_queue_survive_when_the_broker(
    after: dict[str, dict[str, int]], end: str
) -> None:
    """Two things were required, and both were done."""
    assert after[end][TASK_QUEUE.name] == len(MESSAGES)


@pytest.mark.parametrize("end", ENDS)
def test_quorum_queue_keeps_even_transient_messages_when_the_broker(after: dict[str, dict[str, int]], end: str) -> None:
    """Today's queue is better than the tutorials say: it writes every message to disk."""
    assert after[end][QUORUM_QUEUE.name] == len(MESSAGES)


@pytest.mark.parametrize("end", ENDS)
def test_whatever_send_reported_survives_when_the_broker(after: dict[str, dict[str, int]], end: str) -> None:
    """`celery -A proj send` marks both, and nobody has to think of it."""
    assert after[end]["task_queue"] == len(MESSAGES)


def test_persistent_is_delivery_mode_2_by_all_its_names() -> None:
    """A number in the oldest tutorial, and two names of pika in the newer ones."""
    modes = (2, pika.spec.PERSISTENT_DELIVERY_MODE, pika.DeliveryMode.Persistent.value)

    assert {pika.BasicProperties(delivery_mode=mode).delivery_mode for mode in modes} == {2}
    assert PERSISTENT.delivery_mode == 2


def test_acknowledgement_timeout_takes_the_channel_of_a_stuck_consumer(broker: Broker) -> None:
    """Its message is another's then. Our workers keep the message of a task that takes longer, by a lease."""
    with closing(Shell(broker.url())) as stuck, closing(Shell(broker.url())) as other:
        stuck.declare("stuck", durable=True)
        stuck.publish("hello...", queue="stuck")
        stuck.consume("stuck")

        with pytest.raises(
            pika.exceptions.ChannelClosedByBroker, match=r"PRECONDITION_FAILED - .* timed out.* 1500 ms"
        ):
            stuck.channel.start_consuming()

        assert stuck.bodies == ["hello..."]
        other.consume("stuck", done=True)
        assert other.wait_for(1) == ["hello..."]
        assert other.received[0].redelivered


def test_acknowledgement_timeout_can_be_changed(broker: Broker) -> None:
    """One line of the broker's configuration, as this file's broker has it."""
    assert broker.order("eval", "application:get_env(rabbit, consumer_timeout).").strip() == "{ok,1500}"
