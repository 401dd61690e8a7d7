"""Declares the queues that workers make beside the app's own, and asks for the type of a queue that exists."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from amqp.exceptions import AccessRefused, AMQPError, ChannelError, NotFound

from proj.broker.permissions.undeclared import ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import amqp
    from kombu import Exchange
    from kombu.transport.base import StdChannel

logger = logging.getLogger(__name__)

#: An argument for consumers of streams alone. A stream refuses this value too, so nothing is ever consumed.
_ARGUMENTS = {"x-stream-offset": "?"}
_TYPE = re.compile(r" of queue type (?:rabbit_)?(\w+?)(?:_queue)?$")


def declare(connection: amqp.Connection, queue_name: str, *, by_order: bool = False) -> int:
    """Declare a durable quorum queue unless a queue of this name exists; the number of ready messages in it.

    `by_order` is whether a person's command does it, which also an app that declares nothing may do.

    Raises:
        AMQPError: the broker refuses.
    """
    try:
        with own_channel(connection) as channel:
            # A named tuple, unlike in celery-types.
            declared: Any = channel.queue_declare(queue=queue_name, passive=True)
            return int(declared.message_count)
    except NotFound:
        arguments = {"x-queue-type": "quorum"}
        with own_channel(connection) as channel:
            declaring = ordered(channel) if by_order else channel
            declaring.queue_declare(queue=queue_name, durable=True, auto_delete=False, arguments=arguments)
        return 0


def declare_dead_letters(connection: amqp.Connection, name: str) -> None:
    """Declare the queue of dead letters, the exchange of the same name to which policies send them, and the binding.

    What exists stays as it is. A user who may not bind it gets the queue alone.

    Raises:
        AMQPError: the broker refuses the queue.
    """
    declare(connection, name)
    try:
        _bind(connection, name)
    except AccessRefused as error:
        logger.warning(
            "The queue %s could not be bound to its exchange (%s). What RabbitMQ itself dead-letters may go nowhere.",
            name,
            error.reply_text,
            extra={"action": "dead_letters_not_bound"},
        )


def may_declare(connection: amqp.Connection, exchange: Exchange) -> bool:
    """Declare the exchange, and return whether the user may; whoever may not needs that somebody else has made it.

    Raises:
        AMQPError: the broker refuses it for another reason.
    """
    try:
        with own_channel(connection) as channel:
            exchange(cast("StdChannel", channel)).declare()
    except AccessRefused as error:
        logger.debug("The exchange %s is not declared: %s", exchange.name, error.reply_text)
        return False
    return True


def queue_type(connection: amqp.Connection, name: str) -> str | None:
    """The type that the queue has, such as "quorum"; None when the broker does not tell, or there is no such queue.

    RabbitMQ names the type when it refuses an argument of a consumer, and writes that refusal into its log. Tried on
    4.3.6; do not ask a broker before 4.3: 4.0.5 closes the connection when the queue is a stream.
    """
    channel = connection.channel()
    try:
        channel.basic_consume(name, arguments=_ARGUMENTS)
    except ChannelError as error:
        found = _TYPE.search(str(error.reply_text))
        return found[1] if found else None
    # The broker knows the argument.
    channel.close()
    return None


def _bind(connection: amqp.Connection, name: str) -> None:
    try:
        with own_channel(connection) as channel:
            channel.exchange_declare(name, "fanout", passive=True)
    except NotFound:
        with own_channel(connection) as channel:
            channel.exchange_declare(name, "fanout", durable=True, auto_delete=False)
    with own_channel(connection) as channel:
        channel.queue_bind(name, exchange=name)


@contextmanager
def own_channel(connection: amqp.Connection) -> Iterator[amqp.Channel]:
    """A channel of its own, because the broker closes the channel on which it refuses something."""
    channel = connection.channel()
    try:
        yield channel
    finally:
        try:
            channel.close()
        except (AMQPError, OSError) as error:
            logger.debug("A channel could not be closed: %r", error)
