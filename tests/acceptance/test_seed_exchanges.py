"""The tutorials' statements about exchanges, tried on RabbitMQ with bare clients."""

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
    """The consumer's own queue, attached to the exchange by each of the keys."""
    queue = str(shell.channel.queue_declare("", exclusive=True).method.queue)
    for key in keys or ("",):
        shell.channel.queue_bind(queue, exchange, key)
    shell.consume(queue, auto_ack=True)
    return queue


def publish(channel: BlockingChannel, exchange: str, *keys: str) -> None:
    """A message for each key, which says its key; returns when every queue has been given it."""
    for key in keys:
        channel.basic_publish(exchange, key, key.encode() or HELLO)


@pytest.fixture
def producer(shell: Callable[[], Shell]) -> Shell:
    """Who sends, with confirms: its publish returns when every queue has the message."""
    producer = shell()
    producer.channel.confirm_delivery()
    return producer


def test_message_is_sent_to_an_exchange_and_received_from_a_queue_attached_to_it(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """Two consumers with a queue each, both attached to the exchange of the producer."""
    producer.channel.exchange_declare("logs", "fanout")
    first, second = shell(), shell()
    for consumer in (first, second):
        attach(consumer, "logs")

    publish(producer.channel, "logs", "")

    assert (first.wait_for(1), second.wait_for(1)) == (["Hello"], ["Hello"])


def test_exchange_keeps_nothing_for_queues_that_are_attached_later(producer: Shell, shell: Callable[[], Shell]) -> None:
    """Only queues hold messages: what no queue was attached for is gone, which `mandatory` tells."""
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
    """No exchange has to be declared: the default one is there, and its type is direct."""
    consumers = [shell() for _ in range(3)]
    producer.declare("my_queue")
    for consumer in consumers:
        consumer.consume("my_queue", auto_ack=True)

    producer.publish("1", "2", "3", "4", "5", "6", queue="my_queue")

    assert [consumer.look("my_queue") for consumer in consumers] == [["1", "4"], ["2", "5"], ["3", "6"]]


def test_broadcast_distributes_messages_to_all_consumers(producer: Shell, shell: Callable[[], Shell]) -> None:
    """A fanout exchange: each of them gets every message, whatever its routing key."""
    producer.channel.exchange_declare("broadcast", "fanout")
    consumers = [shell() for _ in range(3)]
    for consumer in consumers:
        attach(consumer, "broadcast")

    publish(producer.channel, "broadcast", "first", "second")

    assert [consumer.wait_for(2) for consumer in consumers] == [["first", "second"]] * 3


def test_direct_dispatches_messages_by_their_routing_key(producer: Shell, shell: Callable[[], Shell]) -> None:
    """To whoever is bound by exactly that key; a consumer may have more than one."""
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
    """A star is one word and a hash any number; without either it is as direct. They stand in the binding's key."""
    producer.channel.exchange_declare("topic", "topic")
    consumer = shell()
    queue = attach(consumer, "topic", pattern)

    publish(producer.channel, "topic", "image", "image.heavy", "pdf.heavy", "image.png.heavy", "heavy")

    assert consumer.look(queue) == matched
