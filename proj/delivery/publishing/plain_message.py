"""A plain message: a text without Celery's headers, as the programs of RabbitMQ's tutorials publish it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from kombu import Exchange, Producer, Queue


@dataclass(frozen=True, kw_only=True)
class PlainMessage:
    """A text to publish, which `send_many` takes like the signature of a task."""

    text: str
    routing_key: str
    #: By default the exchange that leads to the queue of the routing key's name.
    exchange: str = ""
    #: Queues and exchanges that are declared before the message is published.
    declare: tuple[Exchange | Queue, ...] = ()
    id: str = field(default_factory=uuid)

    def apply_async(self, *, producer: Producer) -> None:
        """Publish it: persistent, UTF-8, with its id as `message_id`."""
        producer.publish(
            self.text.encode(),
            exchange=self.exchange,
            routing_key=self.routing_key,
            content_type="text/plain",
            content_encoding="utf-8",
            delivery_mode=2,
            message_id=self.id,
            declare=list(self.declare),
        )
