"""The tutorials' statements about a queue and its consumers, on RabbitMQ with plain AMQP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest

from proj.broker.management_api import Management
from proj.errors import NoManagement

from .tutorial_shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

FIVE = ["First message.", "Second message..", "Third message...", "Fourth message....", "Fifth message....."]
FIFTEEN = [f"{number} - Basic - Hello World" for number in range(15)]


# --- The queue ----------------------------------------------------------------------------------------


def test_messages_wait_in_the_queue_until_a_consumer_starts(shell: Callable[[], Shell]) -> None:
    """As texts to a friend whose phone is off: they arrive later, in the order in which they were sent."""
    producer = shell()
    producer.declare("basic")
    producer.publish(*FIFTEEN, queue="basic")
    producer.close()

    consumer = shell()
    consumer.consume("basic", auto_ack=True)

    assert consumer.wait_for(15) == FIFTEEN


def test_list_queues_shows_basic_with_fifteen(broker: Broker, vhost: str, shell: Callable[[], Shell]) -> None:
    """`rabbitmqctl list_queues` after the producer's fifteen messages."""
    producer = shell()
    producer.declare("basic")
    producer.publish(*FIFTEEN, queue="basic")

    listed = broker.order("-p", vhost, "list_queues").splitlines()

    assert "basic\t15" in listed


def test_declaration_makes_the_queue_when_there_is_none(shell: Callable[[], Shell]) -> None:
    """With any name."""
    producer, looking = shell(), shell()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        looking.ready("my_queue")

    producer.declare("my_queue")

    assert producer.ready("my_queue") == 0


def test_producer_and_consumer_both_declare_the_queue_in_any_order(shell: Callable[[], Shell]) -> None:
    """Declaring an existing queue changes nothing, so each program can declare it."""
    producer, consumer = shell(), shell()

    producer.declare("basic")
    producer.publish("before", queue="basic")
    consumer.declare("basic")
    producer.declare("basic")

    assert consumer.ready("basic") == 1


def test_routing_key_of_the_default_exchange_is_the_queue(shell: Callable[[], Shell]) -> None:
    """`exchange=''` sends a message only to the queue of that name."""
    producer = shell()
    for queue in ("hello", "basic"):
        producer.declare(queue)

    producer.publish("for hello", queue="hello")

    assert (producer.ready("hello"), producer.ready("basic")) == (1, 0)


def test_message_for_a_queue_that_nobody_declared_is_dropped(shell: Callable[[], Shell]) -> None:
    """Publishing makes no queue and reports nothing; `mandatory` and confirms do."""
    producer = shell()
    producer.channel.basic_publish("", "hello", b"nobody hears this")
    producer.declare("hello")
    assert producer.ready("hello") == 0

    producer.channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        producer.channel.basic_publish("", "nowhere", b"somebody is told of this", mandatory=True)


def test_queue_can_be_purged_in_the_management_console(broker: Broker, vhost: str, shell: Callable[[], Shell]) -> None:
    """With the request that the console's button sends."""
    producer = shell()
    producer.declare("my_queue")
    producer.publish("Hello", "world", queue="my_queue")

    broker.management.request("DELETE", f"queues/{vhost}/my_queue/contents")

    assert producer.ready("my_queue") == 0


def test_default_login_of_guest_is_refused_by_our_brokers(broker: Broker, vhost: str) -> None:
    """The tutorials log in as guest/guest; our brokers have no such user, and a random password."""
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        Shell(f"amqp://guest:guest@127.0.0.1:{broker.port}/{vhost}")
    console = Management(f"http://guest:guest@127.0.0.1:{broker.management_port}/api/")
    with pytest.raises(NoManagement, match="401"):
        console.request("GET", "overview")


# --- Who gets which message ---------------------------------------------------------------------------


def test_three_consumers_each_receive_a_different_message(shell: Callable[[], Shell]) -> None:
    """Fifteen messages: 0, 3, 6, … go to the first, 1, 4, 7, … to the second, and 2, 5, 8, … to the third."""
    producer, *consumers = (shell() for _ in range(4))
    producer.declare("basic")
    for consumer in consumers:
        consumer.consume("basic", auto_ack=True)

    producer.publish(*FIFTEEN, queue="basic")

    assert [consumer.wait_for(5) for consumer in consumers] == [FIFTEEN[0::3], FIFTEEN[1::3], FIFTEEN[2::3]]


def test_messages_that_came_before_all_consumers_go_to_the_first_of_them(shell: Callable[[], Shell]) -> None:
    """The oldest tutorial lists 15 waiting messages before it starts three consumers: they would not get five each.

    It is so without a prefetch count; with one, see the tests of fair dispatch.
    """
    producer, *consumers = (shell() for _ in range(4))
    producer.declare("basic")
    producer.publish(*FIFTEEN, queue="basic")

    for consumer in consumers:
        consumer.consume("basic", auto_ack=True)

    assert [consumer.look("basic") for consumer in consumers] == [FIFTEEN, [], []]


def test_odd_messages_go_to_one_worker_and_even_ones_to_the_other(shell: Callable[[], Shell]) -> None:
    """The tutorial's five messages go to the two workers in turn."""
    producer, first, second = (shell() for _ in range(3))
    producer.declare("hello")
    for worker in (first, second):
        worker.consume("hello", done=True)

    producer.publish(*FIVE, queue="hello")

    assert (first.wait_for(3), second.wait_for(2)) == (FIVE[0::2], FIVE[1::2])


@pytest.mark.parametrize("workers", [3, 4, 30])
def test_every_consumer_gets_the_same_number_of_messages(shell: Callable[[], Shell], workers: int) -> None:
    """Round-robin with three workers and more."""
    producer = shell()
    consumers = [shell() for _ in range(workers)]
    producer.declare("hello")
    for consumer in consumers:
        consumer.consume("hello", auto_ack=True)

    producer.publish(*["hello"] * 4 * workers, queue="hello")

    assert [len(consumer.look("hello")) for consumer in consumers] == [4] * workers


def test_worker_is_added_without_a_change_to_the_producer(shell: Callable[[], Shell]) -> None:
    """The producer goes on over the same channel, and the new worker gets its share of later messages."""
    producer, first, second = (shell() for _ in range(3))
    producer.declare("hello")
    first.consume("hello", auto_ack=True)
    producer.publish("1", "2", queue="hello")

    second.consume("hello", auto_ack=True)
    producer.publish("3", "4", queue="hello")

    assert first.look("hello")[:2] == ["1", "2"]
    assert sorted(first.look("hello")[2:] + second.look("hello")) == ["3", "4"]
    assert len(second.bodies) == 1


def test_worker_that_is_added_gets_nothing_of_a_backlog_that_was_dispatched(shell: Callable[[], Shell]) -> None:
    """More workers help with a backlog only when a prefetch count leaves it in the queue."""
    producer, first, second = (shell() for _ in range(3))
    producer.declare("hello")
    first.consume("hello")
    producer.publish(*FIVE, queue="hello")

    second.consume("hello")

    assert (first.look("hello"), second.look("hello")) == (FIVE, [])
