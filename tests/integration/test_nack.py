"""Giving messages back, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from amqp import Message

from proj.broker.connection import connected, count_queue, open_channel
from proj.broker.nack import give_all_back, give_back
from proj.celery import app
from proj.delivery.header_names import ACQUIRED_COUNT, DELIVERY_COUNT
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqp import Channel

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker

TIMEOUT_S = 60
QUEUE = "given-back"


@pytest.fixture
def channel(broker: Broker, vhost: str) -> Iterator[Channel]:
    """A channel with a quorum queue."""
    with connected(app.connection_for_write(broker.url(vhost))) as connection:
        channel = open_channel(connection)
        channel.queue_declare(queue=QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        yield channel


def publish(channel: Channel, *bodies: str) -> None:
    channel.confirm_select()
    for body in bodies:
        channel.basic_publish_confirm(Message(body), routing_key=QUEUE)


def next_message(channel: Channel) -> Any:
    """The next message, unacknowledged; a quorum queue takes a moment to have one that was given back."""
    return wait_until(lambda: channel.basic_get(queue=QUEUE), what="a message", timeout_s=TIMEOUT_S)


def test_message_that_is_given_back_comes_again_and_counts_as_the_version_says(
    channel: Channel, version: BrokerVersion
) -> None:
    """Before 4.3 each return counts toward the delivery limit; since then `basic.nack` is free."""
    publish(channel, "one")
    for _ in range(3):
        give_back(channel, next_message(channel).delivery_tag)

    message = next_message(channel)
    headers = message.properties.get("application_headers") or {}

    assert message.delivery_info["redelivered"]
    if version.counts_nacks:
        assert headers[DELIVERY_COUNT] == 3
        assert ACQUIRED_COUNT not in headers
    else:
        assert DELIVERY_COUNT not in headers
        assert headers[ACQUIRED_COUNT] == 3


def test_all_unsettled_messages_are_given_back_at_once(channel: Channel) -> None:
    """Those that were acknowledged are gone, all others are ready again."""
    publish(channel, "one", "two", "three")
    next_message(channel)
    channel.basic_ack(next_message(channel).delivery_tag)
    next_message(channel)

    give_all_back(channel)

    wait_until(lambda: count_queue(channel, QUEUE).message_count == 2, what="both messages", timeout_s=TIMEOUT_S)
