"""Queue counts that a loop asks for without waiting, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kombu import Connection, Producer, Queue

from proj.broker.queue_counts import CountChannel, QueueCount, count_soon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker

Answers = list[tuple[str, "QueueCount | None"]]


@pytest.fixture
def connection(broker: Broker, vhost: str) -> Iterator[Connection]:
    """A connection to a virtual host with the queue `filled`, which has two messages, and `empty`."""
    with Connection(broker.url(vhost), transport_options={"confirm_publish": True}) as connection:
        with connection.channel() as channel:
            for name in ("filled", "empty"):
                Queue(name, durable=True)(channel).declare()
            for _ in range(2):
                Producer(channel).publish("body", routing_key="filled")
        yield connection


def answers(connection: Connection, *names: str) -> Answers:
    """Ask for all at once, and read until the last one is answered."""
    found: Answers = []
    for name in names:
        count_soon(connection, name, lambda count, name=name: found.append((name, count)))  # type: ignore[misc] # a default for the loop's value
    assert found == []
    while CountChannel.of_connection(connection.connection).is_asking:
        connection.drain_events(timeout=10)
    return found


def test_counts_come_in_order_while_the_connection_is_read(connection: Connection) -> None:
    """One channel serves every question, and the first need not wait until it is open."""
    assert answers(connection, "filled", "empty") == [("filled", QueueCount(2, 0)), ("empty", QueueCount(0, 0))]

    with connection.Consumer([Queue("empty", no_declare=True)]):
        assert answers(connection, "empty") == [("empty", QueueCount(0, 1))]
    assert len(connection.connection.channels) <= 4


def test_missing_queue_is_an_answer_and_the_questions_after_it_are_asked_again(connection: Connection) -> None:
    """The broker closes the channel because of it; the worker's loop must not see that as an error."""
    found = answers(connection, "missing", "filled", "missing", "empty")

    assert found == [
        ("missing", None),
        ("filled", QueueCount(2, 0)),
        ("missing", None),
        ("empty", QueueCount(0, 0)),
    ]


def test_nothing_is_asked_over_a_lost_connection(connection: Connection) -> None:
    """A question that waited for its turn in the loop may come too late."""
    connection.connect()
    connection.collect()

    count_soon(connection, "filled", lambda _: pytest.fail("answered"))

    assert not connection.connected
