"""One dead letter, as its headers, properties and body describe it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from proj.delivery.dead_letters.headers import latest_death
from proj.delivery.header_names import (
    ATTEMPTS,
    BROKER_COUNTS,
    QUEUE,
    RAN,
    RAW_PROPERTIES,
    REASON,
    TASK,
    TIME,
    UNREADABLE,
    WORKER,
)
from proj.printable import LONGEST_DESCRIPTION, printable
from proj.queues import home_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The broker's reasons for dead-lettering, as sentences. Source: https://www.rabbitmq.com/docs/dlx#effects
_BROKER_REASONS = {
    "delivery_limit": "It was delivered more often than the queue's limit allows, and never acknowledged.",
    "rejected": "A worker rejected it and left no reason.",
    "expired": "It waited in its queue for longer than it may live.",
    "maxlen": "Its queue was full.",
}
#: Headers that change with each delivery: the broker's counts, and properties that cannot be read, which include them.
_CHANGING = {*BROKER_COUNTS, UNREADABLE, RAW_PROPERTIES}
#: Longer bodies are not decoded to find a task's arguments. In bytes.
_BODY_LIMIT = 65_536
#: Longer ids are not used. AMQP's short strings, such as `message_id`, have 255 bytes.
_ID_LIMIT = 255


class ReceivedMessage(Protocol):
    """A message as it was received, by kombu or by py-amqp."""

    body: Any
    properties: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What is known of a dead-lettered message. Every text in it is safe to print."""

    #: The task's id, or `~` and a digest of the message when it has no id that can be used.
    id: str
    task: str | None
    #: The arguments as the sender described them, else as they are in the body; not cut.
    arguments: str
    reason: str
    #: Where it was before; None when the message does not say.
    queue: str | None
    worker: str | None
    #: When it was dead-lettered, in seconds since the epoch.
    time: float | None
    attempts: int | None
    size_bytes: int
    #: Whether its task ran, or began to, by the worker that dead-lettered it; None where that is not known.
    ran: bool | None = None

    @property
    def mark(self) -> str:
        """What tells the letter from all others, also from the same task that was dead-lettered again."""
        return f"{self.id} {self.time}"


def read_letter(message: ReceivedMessage) -> DeadLetter:
    """What the message's headers say, ours before the broker's. Never fails, whatever the message contains."""
    headers = message.properties.get("application_headers") or {}
    death = latest_death(headers)
    body = _bytes(message.body)
    died = death.get("time")
    if isinstance(died, datetime):
        died = died.replace(tzinfo=timezone.utc).timestamp()
    return DeadLetter(
        id=_id(headers, message.properties, body),
        task=_text(headers, "task") or _text(headers, TASK),
        arguments=_arguments(headers, message.properties, body),
        reason=_text(headers, REASON) or _broker_reason(death),
        # A message that was in quarantine goes back to the queue that it was first in.
        queue=home_queue(_text(headers, QUEUE) or _text(death, "queue") or "") or None,
        worker=_text(headers, WORKER),
        time=_number(headers.get(TIME)) if TIME in headers else _number(died),
        attempts=_whole_number(headers.get(ATTEMPTS)),
        size_bytes=len(body),
        ran=ran if isinstance(ran := headers.get(RAN), bool) else None,
    )


def _broker_reason(death: Mapping[Any, Any]) -> str:
    reason = _text(death, "reason")
    if reason is None:
        return "The message does not say why."
    return _BROKER_REASONS.get(reason, f"The broker dead-lettered it: {reason}.")


def _id(headers: Mapping[Any, Any], properties: Mapping[str, Any], body: bytes) -> str:
    for given in (headers.get("id"), properties.get("message_id"), properties.get("correlation_id")):
        if isinstance(given, str) and given and given.isprintable() and len(given) <= _ID_LIMIT:
            return given
    lasting = {str(name): value for name, value in headers.items() if name not in _CHANGING}
    rest = {name: value for name, value in properties.items() if name != "application_headers"}
    digest = hashlib.sha256(repr((sorted(rest.items()), sorted(lasting.items(), key=str))).encode("utf-8", "replace"))
    digest.update(body)
    return f"~{digest.hexdigest()[:16]}"


def _arguments(headers: Mapping[Any, Any], properties: Mapping[str, Any], body: bytes) -> str:
    """As Celery's sender described them in the headers, else from a JSON body."""
    args, kwargs = headers.get("argsrepr"), headers.get("kwargsrepr")
    if isinstance(args, str):
        return printable(args if kwargs in ("{}", None) else f"{args} {kwargs}")
    if properties.get("content_type") == "application/json" and len(body) <= _BODY_LIMIT:
        try:
            decoded = json.loads(body)
            return printable(json.dumps(decoded[:2] if isinstance(decoded, list) else decoded))
        except (ValueError, RecursionError):
            pass
    return printable(repr(body[:LONGEST_DESCRIPTION]))


def _text(table: Mapping[Any, Any], name: str) -> str | None:
    value = table.get(name)
    return printable(value) if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _bytes(body: object) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    return str(body or "").encode("utf-8", "surrogatepass")
