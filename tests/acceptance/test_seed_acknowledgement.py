"""The tutorials' statements about acknowledgement, on RabbitMQ with plain AMQP clients."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pika
import pytest

from proj.broker.queue_depths import depths_by_management
from proj.celery import app
from proj.lab.processes.proxy import Proxy

from .tutorial_shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

#: A program that works on `hello` until it ends, and acknowledges nothing.
WORKER = """
import pika, sys
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.basic_consume("hello", {callback})
channel.start_consuming()
"""
FIVE = ["First message.", "Second message..", "Third message...", "Fourth message....", "Fifth message....."]


@pytest.fixture
def producer(shell: Callable[[], Shell]) -> Shell:
    """The third shell, with a queue `hello`."""
    producer = shell()
    producer.declare("hello")
    return producer


def hello(broker: Broker, vhost: str) -> tuple[int, int | None]:
    """The ready and the unacknowledged messages of the queue."""
    (depth,) = [depth for depth in depths_by_management(broker.management, vhost) if depth.name == "hello"]
    return depth.ready, depth.unacknowledged


# --- Without it ---------------------------------------------------------------------------------------


def test_message_is_removed_when_it_is_delivered_under_automatic_acknowledgement(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """It is deleted at its delivery, before any work."""
    worker = shell()
    worker.consume("hello", auto_ack=True)

    producer.publish("hello...", queue="hello")

    assert worker.look("hello") == ["hello..."]
    assert hello(broker, vhost) == (0, 0)


def test_worker_that_dies_loses_all_that_was_dispatched_to_it_under_automatic_acknowledgement(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """The message that it worked on, and those that it had not started."""
    worker = shell()
    worker.consume("hello", auto_ack=True)
    producer.publish(*FIVE, queue="hello")

    worker.close()

    heir = shell()
    heir.consume("hello")
    assert heir.look("hello") == []
    assert hello(broker, vhost) == (0, 0)


# --- With it ------------------------------------------------------------------------------------------


def test_acknowledgements_are_on_by_default(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """A consumer without `auto_ack` has to acknowledge."""
    worker = shell()
    worker.channel.basic_consume("hello", lambda *_: None)

    producer.publish("hello...", queue="hello")

    assert hello(broker, vhost) == (0, 1)


def test_acknowledged_message_is_deleted(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """The broker deletes it, and no consumer gets it again."""
    worker = shell()
    worker.consume("hello")
    producer.publish("First message.", "Second message..", queue="hello")
    worker.wait_for(2)

    worker.acknowledge(worker.received[0])
    worker.close()

    heir = shell()
    heir.consume("hello", done=True)
    assert heir.wait_for(1) == ["Second message.."]
    heir.look("hello")
    assert hello(broker, vhost) == (0, 0)


@pytest.mark.parametrize("death", ["its channel is closed", "its connection is closed", "its TCP connection is lost"])
def test_unacknowledged_messages_go_to_another_consumer_when_theirs_dies(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell], death: str
) -> None:
    """In each of three ways to die: all of them, in order, soon, marked as redelivered, and none is lost."""
    heir = shell()
    with Proxy(broker.port) as proxy:
        worker = Shell(broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/"))
        worker.consume("hello")
        producer.publish(*FIVE, queue="hello")
        assert worker.wait_for(5) == FIVE
        heir.consume("hello", done=True)
        assert heir.look("hello") == []

        if death == "its channel is closed":
            worker.channel.close()
        elif death == "its connection is closed":
            worker.close()
        else:
            proxy.cut()

        assert heir.wait_for(5) == FIVE
        assert [delivery.redelivered for delivery in heir.received] == [True] * 5
        if death == "its TCP connection is lost":
            with pytest.raises(pika.exceptions.AMQPConnectionError):
                worker.look("hello")
        worker.close()


@pytest.mark.parametrize(("death", "callback"), [("kill -9", "print"), ("an exception", "lambda *_: 1 / 0")])
def test_messages_of_a_worker_that_ends_in_the_middle_are_reissued(
    variables: dict[str, str], producer: Shell, shell: Callable[[], Shell], death: str, callback: str
) -> None:
    """The process is killed while it has them, or its callback raises."""
    producer.publish(*FIVE, queue="hello")
    command = [sys.executable, "-u", "-c", WORKER.format(callback=callback), variables["CELERY_BROKER_URL"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        if death == "kill -9":
            assert worker.stdout is not None
            assert worker.stdout.readline()
            assert producer.ready("hello") == 0
            worker.kill()
        assert worker.wait(20) == (-signal.SIGKILL if death == "kill -9" else 1)

    heir = shell()
    heir.consume("hello")
    assert heir.wait_for(5) == FIVE
    assert [delivery.redelivered for delivery in heir.received] == [True] * 5


def test_unacknowledged_messages_wait_when_no_other_consumer_is_there(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """They are back in the queue."""
    worker = shell()
    worker.consume("hello")
    producer.publish(*FIVE, queue="hello")
    worker.wait_for(5)
    assert hello(broker, vhost) == (0, 5)

    worker.close()

    assert producer.ready("hello") == 5
    assert hello(broker, vhost) == (5, 0)


def test_acknowledgement_on_another_channel_is_a_channel_exception(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """Only that channel is closed. The connection, and the message on its own channel, stay as they are."""
    worker = shell()
    worker.consume("hello")
    producer.publish("hello...", queue="hello")
    worker.wait_for(1)
    other = worker.connection.channel()

    other.basic_ack(worker.received[0].tag)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match=r"PRECONDITION_FAILED - unknown delivery tag"):
        other.queue_declare("hello", passive=True)

    assert hello(broker, vhost) == (0, 1)
    worker.acknowledge()
    assert worker.ready("hello") == 0
    assert hello(broker, vhost) == (0, 0)


# --- Forgotten ----------------------------------------------------------------------------------------


def test_forgotten_acknowledgement_is_redelivered_when_the_client_quits(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """The next client that forgets it causes another redelivery, which looks random."""
    producer.publish("Hello", "world", queue="hello")

    for earlier in range(3):
        forgetful = shell()
        forgetful.consume("hello")
        assert forgetful.wait_for(2) == ["Hello", "world"]
        assert [delivery.redelivered for delivery in forgetful.received] == [earlier > 0] * 2
        forgetful.close()


def test_messages_unacknowledged_counts_forgotten_acknowledgements(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """`rabbitmqctl list_queues name messages_ready messages_unacknowledged`, before and after the acknowledgement."""
    order = ("-p", vhost, "list_queues", "name", "messages_ready", "messages_unacknowledged")
    forgetful = shell()
    forgetful.consume("hello")
    producer.publish(*FIVE, queue="hello")
    forgetful.wait_for(5)
    assert "hello\t0\t5" in broker.order(*order).splitlines()

    forgetful.acknowledge()
    forgetful.ready("hello")

    assert "hello\t0\t0" in broker.order(*order).splitlines()


def test_broker_cannot_release_messages_without_an_acknowledgement(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """It still holds every delivered message with all its bytes."""
    forgetful = shell()
    forgetful.consume("hello")

    producer.publish(*["x" * 10_000] * 100, queue="hello")
    forgetful.wait_for(100)

    held = broker.order("-p", vhost, "list_queues", "name", "message_bytes_unacknowledged")
    assert f"hello\t{100 * 10_000}" in held.splitlines()


# --- The timeout --------------------------------------------------------------------------------------


def test_acknowledgement_timeout_is_thirty_minutes_by_default(broker: Broker) -> None:
    """As the newer tutorial says; the older one says "no timeouts". Our workers assume the same."""
    assert broker.order("eval", "application:get_env(rabbit, consumer_timeout).").strip() == "{ok,1800000}"
    assert app.conf.proj_consumer_timeout_s == 1800
