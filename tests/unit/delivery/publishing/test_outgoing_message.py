"""The address and the id of a message, as they stand in errors."""

from __future__ import annotations

import amqp
import pytest

from proj.delivery.publishing.outgoing_message import OutgoingMessage, nack_from, unroutable


@pytest.mark.parametrize(
    ("exchange", "nack", "reason"),
    [
        (
            "tasks",
            "nack from exchange 'tasks', routing key 'work'",
            "no queue is bound to exchange 'tasks' with routing key 'work'",
        ),
        ("", "nack from queue 'work'", "there is no queue 'work'"),
    ],
)
def test_address_is_an_exchange_with_a_key_or_a_queue(exchange: str, nack: str, reason: str) -> None:
    """The default exchange has no name and leads to the queue of the routing key's name."""
    outgoing = OutgoingMessage(amqp.Message("hello"), exchange, "work", mandatory=True)

    assert nack_from(outgoing) == nack
    assert unroutable(exchange, "work") == reason


@pytest.mark.parametrize(
    ("properties", "task_id"),
    [({"correlation_id": "5", "message_id": "6"}, "5"), ({"message_id": "6"}, "6"), ({}, "")],
)
def test_task_id_is_the_correlation_id_or_else_the_message_id(properties: dict[str, str], task_id: str) -> None:
    """Celery sets the correlation id; a plain message has a message id, or none."""
    assert OutgoingMessage(amqp.Message("hello", **properties), "", "work", mandatory=True).task_id == task_id
