"""A message that is published, and what the broker has answered to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from amqp.exceptions import AMQPError

    from proj.errors import PublishRefused


class Content(Protocol):
    """What is published: a message of py-amqp, or one that is encoded already."""

    body: bytes | str
    properties: dict[str, Any]


@dataclass(eq=False, slots=True)
class OutgoingMessage:
    """One message that is published with confirms."""

    message: Content
    exchange: str
    routing_key: str
    mandatory: bool
    #: Whether the broker has answered with an ack or a nack.
    settled: bool = False
    acked: bool = False
    #: Where the last nack came from; empty when there was none.
    nack: str = ""
    #: How often the connection was lost after it was written, so that the broker may have it.
    lost: int = 0
    #: How often the broker closed the connection with an internal error while no other message was in flight.
    crashed: int = 0
    #: Why the broker returned it; None when a queue has accepted it.
    returned: AMQPError | None = None
    #: Why the broker will never accept it.
    refusal: PublishRefused | None = None

    @property
    def task_id(self) -> str:
        """The id of the task; for a message that is no task its own id, or an empty text."""
        return message_id(self.message)


def message_id(message: Content) -> str:
    """The correlation id, which Celery sets to the id of the task, or else the message id, or an empty text."""
    return str(message.properties.get("correlation_id") or message.properties.get("message_id") or "")


def nack_from(outgoing: OutgoingMessage) -> str:
    """Where the nack came from, as it stands in an error; the nack itself does not name the queue."""
    if not outgoing.exchange:
        return f"nack from queue {outgoing.routing_key!r}"
    return f"nack from exchange {outgoing.exchange!r}, routing key {outgoing.routing_key!r}"


def unroutable(exchange: str, routing_key: str) -> str:
    """Why the broker returned a message that was published with this address."""
    if not exchange:
        return f"there is no queue {routing_key!r}"
    return f"no queue is bound to exchange {exchange!r} with routing key {routing_key!r}"
