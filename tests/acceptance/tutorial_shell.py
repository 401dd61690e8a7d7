"""A shell of the tutorials: a client of pika with a connection of its own, and what was delivered to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pika

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pika.adapters.blocking_connection import BlockingChannel

TIMEOUT_S = 20


class Delivery(NamedTuple):
    """A message as a consumer gets it."""

    body: str
    redelivered: bool
    tag: int
    channel: BlockingChannel


class Shell:
    """One program of the tutorials, on RabbitMQ's defaults wherever it is not told otherwise."""

    def __init__(self, url: str) -> None:
        """Connect, and open a channel."""
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.received: list[Delivery] = []

    def close(self) -> None:
        """Quit, as Ctrl-C does; safe when the broker has closed the connection."""
        if self.connection.is_open:
            self.connection.close()

    @property
    def bodies(self) -> list[str]:
        """The texts that it got, in order."""
        return [delivery.body for delivery in self.received]

    def declare(self, queue: str, *, durable: bool = False, arguments: Mapping[str, str] | None = None) -> None:
        self.channel.queue_declare(queue, durable=durable, arguments=arguments)

    def ready(self, queue: str) -> int:
        """Messages that wait; whatever this shell has published before is counted."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def publish(self, *messages: str, queue: str, persistent: bool = False) -> None:
        """Return when the queue, which is a classic one, has them or has given them to its consumers."""
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent) if persistent else None
        for message in messages:
            self.channel.basic_publish("", queue, message.encode(), properties)
        self.ready(queue)

    def consume(
        self,
        queue: str,
        *,
        auto_ack: bool = False,
        prefetch: int | None = None,
        done: bool = False,
        channel: BlockingChannel | None = None,
    ) -> str:
        """Register a consumer, which acknowledges at once when `done`; the consumer's tag."""
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
        """All that it got so far: the answer comes behind whatever the classic queue has sent to its channel."""
        self.ready(queue)
        self.connection.process_data_events(time_limit=0)
        return self.bodies

    def wait_for(self, count: int) -> list[str]:
        """The texts, when there are so many."""

        def enough() -> bool:
            self.connection.process_data_events(time_limit=0)
            return len(self.received) >= count

        wait_until(enough, what=f"{count} messages, after {self.bodies}", timeout_s=TIMEOUT_S)
        return self.bodies

    def acknowledge(self, *deliveries: Delivery) -> None:
        """Return when the broker has been told that these, or all, are done."""
        for delivery in deliveries or self.received:
            delivery.channel.basic_ack(delivery.tag)
        self.connection.process_data_events(time_limit=0)
