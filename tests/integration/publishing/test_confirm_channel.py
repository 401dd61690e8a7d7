"""A channel in confirm mode that writes several messages at once, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.outgoing_message import OutgoingMessage
from proj.errors import PublishRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

#: Seconds for a confirm.
DEADLINE_S = 60.0


@pytest.fixture
def channel(app: Celery) -> Iterator[Any]:
    with app.connection_for_write() as connection:
        channel: Any = ConfirmChannel.for_connection(connection)
        channel.queue_declare("together", durable=True, auto_delete=False)
        yield channel


def outgoing(body: str, **headers: object) -> OutgoingMessage:
    return OutgoingMessage(Message(body, application_headers=headers), "", "together", mandatory=False)


def await_confirms(channel: Any) -> None:
    while channel.in_flight:
        assert channel.drain(DEADLINE_S), "no confirm came"


def bodies(channel: Any) -> list[str]:
    got = iter(lambda: channel.basic_get("together", no_ack=True), None)
    return [message.body for message in got]


def test_messages_that_are_written_together_arrive_in_their_order(channel: Any) -> None:
    """Also one that takes several frames, and more than are collected at most."""
    texts = [*map(str, range(50)), "x" * 300_000, *map(str, range(50, 100))]

    with channel.together():
        for text in texts:
            channel.write(outgoing(text))
    await_confirms(channel)

    assert bodies(channel) == texts


def test_message_that_cannot_be_encoded_leaves_the_others_whole(channel: Any) -> None:
    """Nothing of it is written, and the broker does not count it."""
    with channel.together():
        channel.write(outgoing("before"))
        with pytest.raises(PublishRefused, match=r"\{1\}, which AMQP cannot carry"):
            channel.write(outgoing("never", header={1}))
        channel.write(outgoing("after"))
    await_confirms(channel)

    assert bodies(channel) == ["before", "after"]


def test_channel_that_was_interrupted_writes_nothing_more(channel: Any) -> None:
    """Messages that were only collected have a delivery tag already, and the tags of later ones would be wrong."""

    def write_and_interrupt() -> None:
        with channel.together():
            channel.write(outgoing("collected"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt()

    with pytest.raises(OSError, match="lost"):
        channel.write(outgoing("later"))


@pytest.mark.timeout(60)
def test_heartbeat_of_the_broker_lets_nothing_wait_for_the_next_frame(app: Celery) -> None:
    """The sender of results reads whatever has come before it writes; a confirm cannot come before that."""
    # RabbitMQ sends one after half of this time, and closes the connection after twice of it.
    with app.connection_for_write(heartbeat=4) as connection:
        channel: Any = ConfirmChannel.for_connection(connection)

        assert channel.drain(DEADLINE_S)
        assert not channel.in_flight
