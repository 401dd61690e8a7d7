"""A channel in confirm mode that writes several messages at once, on a real broker."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.delivery.publishing import confirm_channel
from proj.delivery.publishing.confirm_channel import SILENCE_S, ConfirmChannel
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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which the channel goes; a test sets it forward."""
    clock = SimpleNamespace(now=time.monotonic())
    monkeypatch.setattr(confirm_channel, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def outgoing(body: str, queue: str = "together", **headers: object) -> OutgoingMessage:
    return OutgoingMessage(Message(body, application_headers=headers), "", queue, mandatory=False)


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


def test_message_changes_nodes_when_its_answer_is_long_due(channel: Any, clock: SimpleNamespace) -> None:
    """A pause before it was written does not count, and neither does an alarm."""
    channel.leaves = True
    clock.now += 2 * SILENCE_S
    channel.write(outgoing("after a pause"))
    channel.check_progress()

    channel.connection.on_blocked("an alarm")
    clock.now += 2 * SILENCE_S
    channel.check_progress()
    channel.connection.on_unblocked()
    channel.check_progress()

    clock.now += 2 * SILENCE_S
    with pytest.raises(ConnectionResetError, match=f"nothing for {SILENCE_S:g} s"):
        channel.check_progress()


def test_rejected_message_lets_no_other_change_nodes(channel: Any, clock: SimpleNamespace) -> None:
    """A nack is an answer of a broker that lives, also where it confirms nothing."""
    channel.queue_declare(
        "full", durable=True, auto_delete=False, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    channel.leaves = True
    rejected = outgoing("rejected", "full")
    channel.write(rejected)
    clock.now += 2 * SILENCE_S
    while not rejected.settled:
        assert channel.drain(DEADLINE_S), "no nack came"

    # As one that was written with it, and is not answered yet.
    channel.in_flight[2] = outgoing("slow")
    channel.check_progress()
    assert not rejected.acked
