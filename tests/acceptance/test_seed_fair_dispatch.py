"""The tutorials' statements about fair dispatch, on RabbitMQ with plain AMQP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.broker.queue_depths import depths_by_management

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

    from .tutorial_shell import Shell

QUEUE = "task_queue"
#: The odd ones are heavy, the even ones light.
ODD_HEAVY = [f"{number}" + ("....." if number % 2 else ".") for number in range(1, 11)]


@pytest.fixture
def producer(shell: Callable[[], Shell]) -> Shell:
    """The third shell, with the queue declared."""
    producer = shell()
    producer.declare(QUEUE, durable=True)
    return producer


# --- Without it ---------------------------------------------------------------------------------------


def test_broker_dispatches_without_regard_to_unacknowledged_messages(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """One consumer acknowledges nothing, the other one everything at once. Each still gets every second message."""
    busy, idle = shell(), shell()
    busy.consume(QUEUE)
    idle.consume(QUEUE, done=True)

    for message in ODD_HEAVY:
        producer.publish(message, queue=QUEUE)
        idle.look(QUEUE)

    assert (busy.look(QUEUE), idle.look(QUEUE)) == (ODD_HEAVY[0::2], ODD_HEAVY[1::2])


def test_odd_heavy_messages_make_one_worker_constantly_busy_and_the_other_hardly(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """25 units of work beside 5. The demo and `lab run` measure it in seconds on our workers."""
    first, second = shell(), shell()
    for worker in (first, second):
        worker.consume(QUEUE)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert ["".join(worker.look(QUEUE)).count(".") for worker in (first, second)] == [25, 5]


def test_messages_are_dispatched_when_they_enter_the_queue(producer: Shell, shell: Callable[[], Shell]) -> None:
    """None waits in the queue, although its consumer works on the first one for long."""
    worker = shell()
    worker.consume(QUEUE)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert producer.ready(QUEUE) == 0
    assert worker.look(QUEUE) == ODD_HEAVY


# --- With prefetch_count=1 ----------------------------------------------------------------------------


def test_worker_gets_no_second_message_before_it_has_acknowledged_the_first(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """One at a time: the next one comes when the one before is acknowledged."""
    worker = shell()
    worker.consume(QUEUE, prefetch=1)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    for done in range(len(ODD_HEAVY)):
        worker.wait_for(done + 1)
        assert worker.look(QUEUE) == ODD_HEAVY[: done + 1]
        worker.acknowledge(worker.received[-1])
    assert worker.look(QUEUE) == ODD_HEAVY


def test_message_goes_to_the_next_worker_that_is_not_busy(producer: Shell, shell: Callable[[], Shell]) -> None:
    """While one worker works on its heavy message, the other works on all the rest, odd and even."""
    busy, free = shell(), shell()
    busy.consume(QUEUE, prefetch=1)
    free.consume(QUEUE, prefetch=1, done=True)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert free.wait_for(len(ODD_HEAVY) - 1) == ODD_HEAVY[1:]
    assert busy.look(QUEUE) == ODD_HEAVY[:1]


def test_worker_that_is_added_takes_its_share_of_the_backlog(producer: Shell, shell: Callable[[], Shell]) -> None:
    """A new worker gets messages that are not dispatched yet. This is how a work queue scales."""
    first, second = shell(), shell()
    first.consume(QUEUE, prefetch=1)
    producer.publish(*ODD_HEAVY, queue=QUEUE)

    second.consume(QUEUE, prefetch=1, done=True)

    assert second.wait_for(len(ODD_HEAVY) - 1) == ODD_HEAVY[1:]
    assert first.look(QUEUE) == ODD_HEAVY[:1]


def test_queue_fills_up_when_all_workers_are_busy(
    broker: Broker, vhost: str, producer: Shell, shell: Callable[[], Shell]
) -> None:
    """Two workers hold a message each, and all others wait; a third worker takes one more."""
    workers = [shell(), shell()]
    for worker in workers:
        worker.consume(QUEUE, prefetch=1)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert producer.ready(QUEUE) == len(ODD_HEAVY) - 2
    shell().consume(QUEUE, prefetch=1)
    assert producer.ready(QUEUE) == len(ODD_HEAVY) - 3
    (depth,) = [depth for depth in depths_by_management(broker.management, vhost) if depth.name == QUEUE]
    assert (depth.ready, depth.unacknowledged) == (7, 3)


def test_prefetch_count_does_nothing_without_acknowledgements(producer: Shell, shell: Callable[[], Shell]) -> None:
    """With automatic acknowledgement no message is outstanding, so the limit is never reached."""
    worker = shell()
    worker.consume(QUEUE, prefetch=1, auto_ack=True)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert worker.look(QUEUE) == ODD_HEAVY


# --- Where it holds -----------------------------------------------------------------------------------


def test_qos_applies_to_each_new_consumer_of_the_channel_separately(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """Two consumers on one channel of `prefetch_count=1` hold one message each, not one together."""
    worker = shell()
    worker.channel.basic_qos(prefetch_count=1)
    for _ in range(2):
        worker.consume(QUEUE)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert worker.look(QUEUE) == ODD_HEAVY[:2]


def test_qos_does_not_apply_to_earlier_consumers(producer: Shell, shell: Callable[[], Shell]) -> None:
    """After `basic_consume` it is too late for that consumer."""
    worker = shell()
    worker.consume(QUEUE)
    worker.channel.basic_qos(prefetch_count=1)

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert worker.look(QUEUE) == ODD_HEAVY


def test_qos_does_not_apply_to_other_channels(producer: Shell, shell: Callable[[], Shell]) -> None:
    """It applies to the channel that it was sent on."""
    worker = shell()
    worker.channel.basic_qos(prefetch_count=1)
    worker.consume(QUEUE, channel=worker.connection.channel())

    producer.publish(*ODD_HEAVY, queue=QUEUE)

    assert len(worker.wait_for(len(ODD_HEAVY))) == len(ODD_HEAVY)
