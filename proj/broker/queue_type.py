"""The type of a queue that exists, asked over AMQP, which has no method for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from amqp.exceptions import ChannelError

if TYPE_CHECKING:
    import amqp

#: An argument for consumers of streams alone. A stream refuses this value too, so nothing is ever consumed.
_ARGUMENTS = {"x-stream-offset": "?"}
_TYPE = re.compile(r" of queue type (?:rabbit_)?(\w+?)(?:_queue)?$")


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
