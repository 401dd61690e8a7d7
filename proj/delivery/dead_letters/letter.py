"""One dead letter: the headers that say why a message was given up, and how they are written and read."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from amqp.exceptions import AMQPError
from amqp.serialization import dumps

from proj import queues
from proj.delivery.header_names import (
    ATTEMPTS,
    BROKER_COUNTS,
    EXCHANGE,
    QUEUE,
    RAW_PROPERTIES,
    REASON,
    ROUTING_KEY,
    TASK,
    TIME,
    UNREADABLE,
    WORKER,
)
from proj.delivery.printable import _CUT, described, printable
from proj.queues import home_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


#: Headers that tell of an earlier life; a letter that is requeued begins a new one without them.
_EARLIER_LIFE = ("x-proj-", "x-death", "x-first-death-", "x-last-death-", *BROKER_COUNTS)
#: What the broker says itself, as sentences. Source: https://www.rabbitmq.com/docs/dlx#effects
_BROKER_REASONS = {
    "delivery_limit": "It was delivered more often than the queue's limit allows, and never acknowledged.",
    "rejected": "A worker rejected it and left no reason.",
    "expired": "It waited in its queue for longer than it may live.",
    "maxlen": "Its queue was full.",
}
#: Bytes that the headers may take when a letter is published: the broker allows 128 KiB a frame, and
#: the properties are in the same one.
_HEADERS_LIMIT = 100_000
#: Headers that change with each delivery: the broker's count, and properties that cannot be read, which include it.
_CHANGING = {"x-delivery-count", UNREADABLE, RAW_PROPERTIES}
#: Bodies of more bytes are not decoded to learn of a task's arguments.
_BODY_LIMIT = 65_536


class Properties(Protocol):
    """A message as it came, of kombu or of py-amqp alike."""

    body: Any
    properties: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What is known of a message that will not be tried again; text in it is safe to print."""

    #: The task's id, or `~` and a digest of the message when it has none that can be used.
    id: str
    task: str | None
    #: The arguments as the sender wrote them down, or else as the body has them; not cut.
    arguments: str
    reason: str
    #: Where it was; None when nothing tells.
    queue: str | None
    worker: str | None
    #: When it was given up, in seconds since the epoch.
    time: float | None
    attempts: int | None
    #: How often the dead-letter queue has delivered it already: looks that were given back count.
    looks: int
    size_bytes: int


def dead_letter_queue(app: Celery) -> str:
    """The name of the app's dead-letter queue: its setting `proj_dead_letter_queue`, else ours."""
    return str(app.conf.get("proj_dead_letter_queue") or queues.DEAD_LETTERS)


def stamped(
    headers: Mapping[Any, Any] | None,
    *,
    reason: str,
    queue: str,
    worker: str,
    time: float,
    attempts: int,
) -> dict[Any, Any]:
    """The headers with ours added, such that AMQP can carry them: `queue` is where a requeue sends it.

    A value that py-amqp can read but not write (an unsigned 64-bit number, say) becomes its text, and so
    do the longest ones when all together would not fit into a frame.
    """
    ours = {REASON: reason[:4000], QUEUE: queue, WORKER: worker, TIME: float(time), ATTEMPTS: attempts}
    # What another queue counted says nothing of the dead-letter queue.
    kept = {name: value for name, value in (headers or {}).items() if name not in BROKER_COUNTS}
    return {**portable(kept), **ours}


def portable(headers: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """The headers as AMQP can carry them, each cut to a text where it cannot."""
    sizes: dict[Any, int] = {}
    carried: dict[Any, Any] = {}
    for name, value in (headers or {}).items():
        carried[name] = value
        try:
            sizes[name] = len(dumps("F", [{name: value}]))  # type: ignore[arg-type] # unlike celery-types
        except (AMQPError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError, struct.error):
            carried[name] = described(value)
            sizes[name] = _CUT
    excess = sum(sizes.values()) - _HEADERS_LIMIT
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        # Many small headers cannot be cut; then they go, the longest first.
        if sizes[name] > 4 * _CUT:
            carried[name] = described(carried[name])
            excess -= sizes[name] - 4 * _CUT
        else:
            del carried[name]
            excess -= sizes[name]
    return carried


def carried(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties of a copy that waits as long as it must and that any user may send.

    A copy with the sender's `expiration` would vanish in the dead-letter queue, and one with the
    `user_id` of another user is refused. Source: https://www.rabbitmq.com/docs/validated-user-id
    """
    kept = {name: value for name, value in properties.items() if name not in {"expiration", "user_id"}}
    headers = portable(properties.get("application_headers"))
    # The broker would send it to every queue named there as well.
    # Source: https://www.rabbitmq.com/docs/sender-selected
    kept["application_headers"] = {name: value for name, value in headers.items() if name not in {"CC", "BCC"}}
    kept["delivery_mode"] = 2
    return kept


def revived(headers: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """The headers without what tells of an earlier life, for a letter that is to be worked on again.

    It goes straight to its queue; where its sender published it goes along, because a task that is retried
    is published there.
    """
    kept = portable(headers)
    new = {name: value for name, value in kept.items() if not str(name).startswith(_EARLIER_LIFE)}
    death = _latest_death(kept)
    keys = death.get("routing-keys")
    origin = {
        EXCHANGE: kept.get(EXCHANGE, death.get("exchange")),
        ROUTING_KEY: kept.get(ROUTING_KEY, keys[0] if isinstance(keys, list) and keys else None),
    }
    return {**new, **origin} if all(isinstance(value, str) for value in origin.values()) else new


def dead_letter(message: Properties) -> DeadLetter:
    """What the message's headers tell, ours before the broker's; never fails, whatever it holds."""
    headers = message.properties.get("application_headers") or {}
    death = _latest_death(headers)
    body = _bytes(message.body)
    reason = _string(headers, REASON) or _broker_reason(death)
    died = death.get("time")
    if isinstance(died, datetime):
        died = died.replace(tzinfo=timezone.utc).timestamp()
    return DeadLetter(
        id=_identity(headers, message.properties, body),
        task=_string(headers, "task") or _string(headers, TASK),
        arguments=_arguments(headers, message.properties, body),
        reason=reason,
        # A suspect goes back to where it was suspected.
        queue=home_queue(_string(headers, QUEUE) or _string(death, "queue") or "") or None,
        worker=_string(headers, WORKER),
        time=_number(headers.get(TIME)) if TIME in headers else _number(died),
        attempts=_whole(headers.get(ATTEMPTS)),
        looks=_whole(headers.get("x-delivery-count")) or 0,
        size_bytes=len(body),
    )


def _latest_death(headers: Mapping[Any, Any]) -> Mapping[Any, Any]:
    deaths = headers.get("x-death")
    # The broker puts the latest first.
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, dict) else {}


def _broker_reason(death: Mapping[Any, Any]) -> str:
    cause = _string(death, "reason")
    if cause is None:
        return "Nothing in it says why."
    return _BROKER_REASONS.get(cause, f"The broker gave it up: {cause}.")


def _identity(headers: Mapping[Any, Any], properties: Mapping[str, Any], body: bytes) -> str:
    for given in (headers.get("id"), properties.get("message_id"), properties.get("correlation_id")):
        if isinstance(given, str) and given and given.isprintable() and len(given) <= 255:  # noqa: PLR2004 shortstr
            return given
    lasting = {str(name): value for name, value in headers.items() if name not in _CHANGING}
    rest = {name: value for name, value in properties.items() if name != "application_headers"}
    digest = hashlib.sha256(repr((sorted(rest.items()), sorted(lasting.items(), key=str))).encode("utf-8", "replace"))
    digest.update(body)
    return f"~{digest.hexdigest()[:16]}"


def _arguments(headers: Mapping[Any, Any], properties: Mapping[str, Any], body: bytes) -> str:
    """As Celery's sender wrote them for people, else from a JSON body of its protocol."""
    args, kwargs = headers.get("argsrepr"), headers.get("kwargsrepr")
    if isinstance(args, str):
        return printable(args if kwargs in ("{}", None) else f"{args} {kwargs}")
    if properties.get("content_type") == "application/json" and len(body) <= _BODY_LIMIT:
        try:
            decoded = json.loads(body)
            return printable(json.dumps(decoded[:2] if isinstance(decoded, list) else decoded))
        except (ValueError, RecursionError):
            pass
    return printable(repr(body[:_CUT]))


def _string(table: Mapping[Any, Any], name: str) -> str | None:
    value = table.get(name)
    return printable(value) if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _bytes(body: object) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    return str(body or "").encode("utf-8", "surrogatepass")
