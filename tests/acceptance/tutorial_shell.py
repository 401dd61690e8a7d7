"""A shell of the tutorials: a pika client with its own connection, and the messages delivered to it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pika
import pika.exceptions

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pika.adapters.blocking_connection import BlockingChannel

TIMEOUT_S = 60


class Delivery(NamedTuple):
    """A delivered message."""

    body: str
    redelivered: bool
    tag: int
    channel: BlockingChannel


class Shell:
    """One program of the tutorials, with RabbitMQ's defaults."""

    def __init__(self, url: str) -> None:
        """Connect, and open a channel."""
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self._confirming = self.connection.channel()
        self._confirming.confirm_delivery()
        self.received: list[Delivery] = []

    def close(self) -> None:
        """Disconnect, as Ctrl-C does; also when the broker has closed the connection."""
        if self.connection.is_open:
            self.connection.close()

    @property
    def bodies(self) -> list[str]:
        """The delivered texts, in order."""
        return [delivery.body for delivery in self.received]

    def declare(self, queue: str, *, durable: bool = False, arguments: Mapping[str, str] | None = None) -> None:
        self.channel.queue_declare(queue, durable=durable, arguments=arguments)

    def ready(self, queue: str) -> int:
        """The ready messages."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def publish(self, *messages: str, queue: str, persistent: bool = False) -> None:
        """Return when the queue has the messages, has delivered them, or has refused them, as a full one does.

        A confirm tells it. The answer to a passive declaration does not, because the broker may prefer it to messages.
        """
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent) if persistent else None
        for message in messages:
            with suppress(pika.exceptions.NackError):
                self._confirming.basic_publish("", queue, message.encode(), properties)

    def consume(
        self,
        queue: str,
        *,
        auto_ack: bool = False,
        prefetch: int | None = None,
        done: bool = False,
        channel: BlockingChannel | None = None,
    ) -> str:
        """Register a consumer, which acknowledges at once when `done`, and return its tag."""
        channel = channel or self.channel
        if prefetch is not None:
            channel.basic_qos(prefetch_count=prefetch)

        def callback(
            channel: BlockingChannel,
            method: pika.spec.Basic.Deliver,
            _properties: pika.BasicProperties,
            body: bytes,
        ) -> None:
            self.received.append(Delivery(body.decode(), method.redelivered, method.delivery_tag, channel))
            if done:
                channel.basic_ack(method.delivery_tag)

        return str(channel.basic_consume(queue, callback, auto_ack=auto_ack))

    def look(self, queue: str) -> list[str]:
        """All deliveries so far: the answer comes after everything that the classic queue has sent to the channel."""
        self.ready(queue)
        self.connection.process_data_events(time_limit=0)
        return self.bodies

    def wait_for(self, count: int) -> list[str]:
        """The texts, when so many were delivered."""

        def enough() -> bool:
            self.connection.process_data_events(time_limit=0)
            return len(self.received) >= count

        wait_until(enough, what=f"{count} messages, after {self.bodies}", timeout_s=TIMEOUT_S)
        return self.bodies

    def acknowledge(self, *deliveries: Delivery) -> None:
        """Acknowledge these messages, or all, and return when the broker has the acknowledgements."""
        for delivery in deliveries or self.received:
            delivery.channel.basic_ack(delivery.tag)
        self.connection.process_data_events(time_limit=0)
