"""A plain message: a bare text, such as the tutorials' programs publish and print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from kombu import Producer


@dataclass(frozen=True, kw_only=True)
class PlainMessage:
    """A text on its way, which `send_many` takes in the place of a task's signature."""

    text: str
    routing_key: str
    #: The default one reaches the queue that the routing key names.
    exchange: str = ""
    #: What is declared before it is published, as kombu's queues and exchanges.
    declare: tuple[Any, ...] = ()
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
