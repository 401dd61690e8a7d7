"""Publish only where the broker reads it now: it may have blocked publishers.

While its memory or its disk is short (an alarm), RabbitMQ reads nothing more from a connection that publishes, and says
so (`connection.blocked`). What was written to it is published after the alarm, when nobody waits for it any more. So a
message that goes nowhere is published first.
Source: https://www.rabbitmq.com/docs/alarms, https://www.rabbitmq.com/docs/connection-blocked
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from amqp.basic_message import Message

from proj.broker.connection import ensure_connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Connection

#: Publishes a message to a queue, and returns when it is confirmed.
Publish: TypeAlias = "Callable[[Message, str], None]"
#: Seconds to wait for a broker that does not answer.
_ANSWER_TIMEOUT_S = 8.0


class PublishersBlocked(Exception):
    """The broker has blocked publishers."""


@contextmanager
def unblocked_publisher(connection: Connection) -> Iterator[Publish]:
    """A function that publishes with confirm to a queue over `connection`, which is made now and closed at the end.

    Raises:
        PublishersBlocked: the broker has blocked publishers. At the beginning nothing was written then.
        Exception: one of the connection's errors, also by the function. The broker may have the message then.
    """
    try:
        ensure_connected(connection)
        beneath: Any = connection.connection
        beneath.on_blocked = _refuse
        channel = beneath.channel()

        def publish(message: Message, queue: str) -> None:
            channel.basic_publish_confirm(
                message, exchange="", routing_key=queue, timeout=_ANSWER_TIMEOUT_S, confirm_timeout=_ANSWER_TIMEOUT_S
            )

        # No queue has this name.
        publish(Message(b""), "")
        yield publish
    except BaseException:
        # An orderly end would wait for a broker that does not read.
        with suppress(Exception):
            connection.collect(socket_timeout=1.0)
        raise
    # What was confirmed is done, also when an alarm begins now.
    with suppress(Exception):
        connection.release()


def _refuse(_reason: str) -> None:
    raise PublishersBlocked
