"""The tutorials' statements about durability, on a broker that is stopped in order and then killed."""

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
from proj.queues import CLASSIC, QUORUM

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
    """A queue as a tutorial declares it, and the delivery mode of its messages."""

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
    """Declare every queue, and publish the messages to each, with confirms."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in QUEUES:
            arguments = {"x-queue-type": queue.type} if queue.type else None
            channel.queue_declare(queue.name, durable=queue.durable, arguments=arguments)
            for message in MESSAGES:
                channel.basic_publish("", queue.name, message.encode(), queue.properties, mandatory=True)


def send(broker: Broker, folder: Path) -> None:
    """Run `celery -A proj send`."""
    subprocess.run(
        [sys.executable, "-m", "celery", "-A", "proj", "send", *MESSAGES],
        env=child_environment(CELERY_BROKER_URL=broker.url()),
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


def left(broker: Broker) -> dict[str, int]:
    """The number of messages in each existing queue; the queues are purged."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        depths = [depth.name for depth in depths_by_management(broker.management)]
        channel = connection.channel()
        return {name: channel.queue_purge(name).method.message_count for name in depths}


@pytest.fixture(scope="module")
def broker(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A separate broker, which may be stopped."""
    folder = tmp_path_factory.mktemp("broker")
    with Broker(guard, folder=folder, settings={"consumer_timeout": str(CONSUMER_TIMEOUT_MS)}) as broker:
        yield broker
        broker.kill()


@pytest.fixture(scope="module")
def after(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """The number of messages in each existing queue after a stop of the broker, and after a kill."""
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
    """With its messages, also with persistent ones."""
    assert HELLO.name not in after[end]
    assert HELLO_PERSISTENT.name not in after[end]


@pytest.mark.parametrize("end", ENDS)
def test_durable_queue_survives_but_not_its_transient_messages_when_the_broker(
    after: dict[str, dict[str, int]], end: str
) -> None:
    """The queue is durable, but the messages must be persistent too."""
    assert after[end][DURABLE.name] == 0


@pytest.mark.parametrize("end", ENDS)
def test_persistent_messages_of_a_durable_queue_survive_when_the_broker(
    after: dict[str, dict[str, int]], end: str
) -> None:
    """Both the queue and the messages survive."""
    assert after[end][TASK_QUEUE.name] == len(MESSAGES)


@pytest.mark.parametrize("end", ENDS)
def test_quorum_queue_keeps_even_transient_messages_when_the_broker(after: dict[str, dict[str, int]], end: str) -> None:
    """A quorum queue does more than the tutorials say: it writes every message to disk."""
    assert after[end][QUORUM_QUEUE.name] == len(MESSAGES)


@pytest.mark.parametrize("end", ENDS)
def test_every_message_that_send_reported_survives_when_the_broker(after: dict[str, dict[str, int]], end: str) -> None:
    """`celery -A proj send` makes the queue durable and the messages persistent."""
    assert after[end]["task_queue"] == len(MESSAGES)


def test_all_names_of_persistent_mean_delivery_mode_2() -> None:
    """The oldest tutorial has the number, the newer ones two names of pika."""
    modes = (2, pika.spec.PERSISTENT_DELIVERY_MODE, pika.DeliveryMode.Persistent.value)

    assert {pika.BasicProperties(delivery_mode=mode).delivery_mode for mode in modes} == {2}
    assert PERSISTENT.delivery_mode == 2


@pytest.mark.parametrize("queue_type", [CLASSIC, QUORUM])
def test_acknowledgement_timeout_takes_the_message_of_a_stuck_consumer(broker: Broker, queue_type: str) -> None:
    """Another consumer gets it. Our workers keep the message of a longer task by a lease."""
    if queue_type == CLASSIC and not broker.version.times_out_classic_queues:
        pytest.skip(f"RabbitMQ {broker.version} has no acknowledgement timeout on classic queues.")
    queue = f"stuck.{queue_type}"
    with closing(Shell(broker.url())) as stuck, closing(Shell(broker.url())) as other:
        stuck.declare(queue, durable=True, arguments={"x-queue-type": queue_type})
        stuck.publish("hello...", queue=queue)
        stuck.consume(queue)

        if broker.version.cancels_at_timeout:
            # It returns when the channel has no consumer any more.
            stuck.channel.start_consuming()
            assert stuck.channel.is_open
        else:
            with pytest.raises(
                pika.exceptions.ChannelClosedByBroker, match=r"PRECONDITION_FAILED - .* timed out.* 1500 ms"
            ):
                stuck.channel.start_consuming()

        assert stuck.bodies == ["hello..."]
        other.consume(queue, done=True)
        assert other.wait_for(1) == ["hello..."]
        assert other.received[0].redelivered


def test_acknowledgement_timeout_can_be_changed(broker: Broker) -> None:
    """With one line of the broker's configuration."""
    assert broker.order("eval", "application:get_env(rabbit, consumer_timeout).").strip() == "{ok,1500}"
