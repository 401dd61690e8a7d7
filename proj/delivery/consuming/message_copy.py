"""A copy of a message on its way to another queue; the message is acknowledged when the copy is confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.broker.declaration import declare, declare_dead_letters
from proj.delivery.consuming.redeliveries import count, last_death
from proj.delivery.dead_letters.headers import copy_properties, dead_letter_headers
from proj.delivery.header_names import BROKER_COUNTS, COPIES, EXCHANGE, LAST_DEATH, ROUTING_KEY, TASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import amqp

    from proj.delivery.consuming.receiving import KeptMessage

#: Headers that a copy does not have: queues that the broker would copy it to a second time, and counts of the queue
#: that it leaves. Source: https://www.rabbitmq.com/docs/sender-selected
_LEFT_BEHIND = {"CC", "BCC", *BROKER_COUNTS}


@dataclass(frozen=True, kw_only=True, eq=False)
class MessageCopy:
    """A copy to publish with confirm before its original is acknowledged."""

    original: KeptMessage
    #: The queue that the copy goes to, over the default exchange, which reaches exactly this queue.
    queue: str
    body: bytes
    properties: dict[str, Any]
    #: Declares the queue when it is missing; None when it is not one of ours.
    declare: Callable[[amqp.Connection, str], object] | None
    #: Called on the forwarder's thread when the copy is confirmed; it may block.
    then: Callable[[], None] | None = None


def copy(message: KeptMessage, *, queue: str, headers: Mapping[str, Any], ours: bool) -> MessageCopy:
    """A copy of the message as it came, with `headers` laid over its own."""
    properties = _properties(message)
    info = message.delivery_info
    origin = {EXCHANGE: info.get("exchange") or "", ROUTING_KEY: info.get("routing_key") or ""}
    own = {COPIES: count(message.headers, COPIES) + 1, **headers}
    properties["application_headers"] = {**origin, **properties["application_headers"], **own}
    if (death := last_death(message.headers)) is not None:
        properties["application_headers"][LAST_DEATH] = death
    return MessageCopy(
        original=message, queue=queue, body=message.raw_body, properties=properties, declare=declare if ours else None
    )


def letter(
    message: KeptMessage,
    *,
    dead_letters: str,
    reason: str,
    worker: str,
    time: float,
    ran: bool | None = None,
    then: Callable[[], None] | None = None,
) -> MessageCopy:
    """The message as a dead letter for the queue `dead_letters`; `time` is in seconds since the epoch.

    `ran` is whether its task ran, or began to; None when that is not known.
    """
    properties = _properties(message)
    headers = dead_letter_headers(
        properties["application_headers"],
        reason=reason,
        queue=message.delivery.home,
        worker=worker,
        time=time,
        attempts=message.delivery.history.attempts,
        ran=ran,
    )
    if "task" in message.headers and "task" not in headers:
        headers[TASK] = message.headers["task"]
    properties["application_headers"] = headers
    return MessageCopy(
        original=message,
        queue=dead_letters,
        body=message.raw_body,
        properties=properties,
        declare=declare_dead_letters,
        then=then,
    )


def _properties(message: KeptMessage) -> dict[str, Any]:
    properties = copy_properties(message.properties)
    headers = properties["application_headers"]
    properties["application_headers"] = {name: value for name, value in headers.items() if name not in _LEFT_BEHIND}
    return properties
