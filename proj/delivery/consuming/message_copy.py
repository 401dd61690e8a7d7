"""A message's copy on its way to another queue: what it says, and which message is acknowledged when it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.delivery.dead_letters.headers import copy_properties, dead_letter_headers
from proj.delivery.header_names import BROKER_COUNTS, EXCHANGE, ROUTING_KEY, TASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Other queues that the broker would copy it to a second time, and counts that are not this copy's.
#: Source: https://www.rabbitmq.com/docs/sender-selected
_LEFT_BEHIND = {"CC", "BCC", *BROKER_COUNTS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Parcel:
    """A copy to publish, confirmed, before its original is acknowledged."""

    #: kombu's message, as it came.
    original: Any
    #: Where the copy goes, by the default exchange, which reaches exactly this queue.
    queue: str
    body: Any
    properties: dict[str, Any]
    #: Whether the queue is one of ours, which is made when it is missing.
    ours: bool
    #: What else is done when the copy is safe; may take its time.
    then: Callable[[], None] | None = None


def copy(message: Any, *, queue: str, headers: Mapping[str, Any], ours: bool) -> Parcel:  # noqa: ANN401 kombu's message
    """The message as it came, with `headers` laid over its own."""
    properties = _properties(message)
    info = message.delivery_info
    origin = {EXCHANGE: info.get("exchange") or "", ROUTING_KEY: info.get("routing_key") or ""}
    properties["application_headers"] = {**origin, **properties["application_headers"], **headers}
    return Parcel(original=message, queue=queue, body=message.raw_body, properties=properties, ours=ours)


def letter(
    message: Any,  # noqa: ANN401 kombu's message
    *,
    dead_letters: str,
    reason: str,
    queue: str,
    worker: str,
    time: float,
    attempts: int,
    then: Callable[[], None] | None = None,
) -> Parcel:
    """The message as a dead letter, which says why and where it was given up."""
    properties = _properties(message)
    headers = dead_letter_headers(
        properties["application_headers"], reason=reason, queue=queue, worker=worker, time=time, attempts=attempts
    )
    if "task" in message.headers and "task" not in headers:
        headers[TASK] = message.headers["task"]
    properties["application_headers"] = headers
    return Parcel(
        original=message, queue=dead_letters, body=message.raw_body, properties=properties, ours=True, then=then
    )


def restore_origin(message: Any) -> None:  # noqa: ANN401 kombu's message
    """Let a copy say, as its original did, where its sender published it."""
    headers = message.headers
    exchange, routing_key = headers.get(EXCHANGE), headers.get(ROUTING_KEY)
    if isinstance(exchange, str) and isinstance(routing_key, str):
        message.delivery_info.update(exchange=exchange, routing_key=routing_key)


def _properties(message: Any) -> dict[str, Any]:  # noqa: ANN401 kombu's message
    properties = copy_properties(message.properties)
    headers = properties["application_headers"]
    properties["application_headers"] = {name: value for name, value in headers.items() if name not in _LEFT_BEHIND}
    return properties
