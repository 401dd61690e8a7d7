"""Confirmed publishing to one queue by its name, past exchanges and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from amqp.exceptions import MessageNacked

from proj.errors import ProjError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import amqp
    from amqp.basic_message import Message

#: Seconds that the broker may take to confirm one message.
CONFIRM_TIMEOUT_S = 30.0


class _ChannelEvents(Protocol):
    """What celery-types does not list of `amqp.Channel`: the listeners by the name of an event."""

    events: Mapping[str, set[Callable[..., None]]]


def publish_to_queue(channel: amqp.Channel, message: Message, queue: str, *, what: str) -> None:
    """Publish the message, `what` in errors, and return when the broker has confirmed it.

    Raises:
        ProjError: the queue does not exist or refuses it.
    """
    returned: list[object] = []
    listeners = cast("_ChannelEvents", channel).events["basic_return"]
    listeners.add(lambda *details: returned.append(details))
    try:
        channel.basic_publish_confirm(
            message, exchange="", routing_key=queue, mandatory=True, confirm_timeout=CONFIRM_TIMEOUT_S
        )
    except MessageNacked as error:
        raise ProjError(f"The queue {queue} rejected {what}; the queue is probably full.") from error
    finally:
        listeners.clear()
    if returned:
        raise ProjError(f"There is no queue {queue}.")
