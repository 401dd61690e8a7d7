"""The tutorials' statements about exchanges, on RabbitMQ with plain AMQP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

    from .tutorial_shell import Shell

HELLO = b"Hello"


def attach(shell: Shell, exchange: str, *keys: str) -> str:
    """A queue of the consumer, bound to the exchange with each of the keys."""
    queue = str(shell.channel.queue_declare("", exclusive=True).method.queue)
    for key in keys or ("",):
        shell.channel.queue_bind(queue, exchange, key)
    shell.consume(queue, auto_ack=True)
    return queue


def publish(channel: BlockingChannel, exchange: str, *keys: str) -> None:
    """Publish a message for each key, with the key as its text; returns when every queue has it."""
    for key in keys:
        channel.basic_publish(exchange, key, key.encode() or HELLO)


@pytest.fixture
def producer(shell: Callable[[], Shell]) -> Shell:
    """The sender, with confirms: its publish returns when every queue has the message."""
    producer = shell()
    producer.channel.confirm_delivery()
    return producer


def test_message_is_sent_to_an_exchange_and_received_from_a_queue_attached_to_it(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """Two consumers have a queue each, and both queues are bound to the producer's exchange."""
    producer.channel.exchange_declare("logs", "fanout")
    first, second = shell(), shell()
    for consumer in (first, second):
        attach(consumer, "logs")

    publish(producer.channel, "logs", "")

    assert (first.wait_for(1), second.wait_for(1)) == (["Hello"], ["Hello"])


def test_exchange_keeps_nothing_for_queues_that_are_bound_later(producer: Shell, shell: Callable[[], Shell]) -> None:
    """Only queues hold messages. A message without a bound queue is lost, which `mandatory` reports."""
    producer.channel.exchange_declare("logs", "fanout")
    publish(producer.channel, "logs", "")
    with pytest.raises(pika.exceptions.UnroutableError):
        producer.channel.basic_publish("logs", "", HELLO, mandatory=True)

    late = shell()
    queue = attach(late, "logs")

    assert late.look(queue) == []


def test_work_queue_distributes_messages_in_turn_and_is_the_default(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """No exchange has to be declared: the default exchange exists, and its type is direct."""
    consumers = [shell() for _ in range(3)]
    producer.declare("my_queue")
    for consumer in consumers:
        consumer.consume("my_queue", auto_ack=True)

    producer.publish("1", "2", "3", "4", "5", "6", queue="my_queue")

    assert [consumer.look("my_queue") for consumer in consumers] == [["1", "4"], ["2", "5"], ["3", "6"]]


def test_broadcast_distributes_messages_to_all_consumers(producer: Shell, shell: Callable[[], Shell]) -> None:
    """A fanout exchange: each consumer gets every message, whatever its routing key."""
    producer.channel.exchange_declare("broadcast", "fanout")
    consumers = [shell() for _ in range(3)]
    for consumer in consumers:
        attach(consumer, "broadcast")

    publish(producer.channel, "broadcast", "first", "second")

    assert [consumer.wait_for(2) for consumer in consumers] == [["first", "second"]] * 3


def test_direct_dispatches_messages_by_their_routing_key(producer: Shell, shell: Callable[[], Shell]) -> None:
    """To the queues that are bound with exactly that key; a queue may have several keys."""
    producer.channel.exchange_declare("direct", "direct")
    errors, everything = shell(), shell()
    queue = attach(errors, "direct", "error")
    attach(everything, "direct", "info", "error")

    publish(producer.channel, "direct", "info", "error", "err")

    assert everything.wait_for(2) == ["info", "error"]
    assert errors.look(queue) == ["error"]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("*.heavy", ["image.heavy", "pdf.heavy"]),
        ("image.#", ["image", "image.heavy", "image.png.heavy"]),
        ("image.*", ["image.heavy"]),
        ("#", ["image", "image.heavy", "pdf.heavy", "image.png.heavy", "heavy"]),
        ("pdf.heavy", ["pdf.heavy"]),
    ],
)
def test_topic_is_like_direct_with_wildcards(
    producer: Shell, shell: Callable[[], Shell], pattern: str, matched: list[str]
) -> None:
    """In the binding's key, * stands for one word and # for any number; without them it is like direct."""
    producer.channel.exchange_declare("topic", "topic")
    consumer = shell()
    queue = attach(consumer, "topic", pattern)

    publish(producer.channel, "topic", "image", "image.heavy", "pdf.heavy", "image.png.heavy", "heavy")

    assert consumer.look(queue) == matched
