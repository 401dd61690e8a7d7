"""Headers of dead letters: what is added when a message is dead-lettered, and what goes when it is requeued."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AMQPError
from amqp.serialization import dumps

from proj.delivery.header_names import ATTEMPTS, BROKER_COUNTS, EXCHANGE, QUEUE, RAN, REASON, ROUTING_KEY, TIME, WORKER
from proj.printable import LONGEST_DESCRIPTION, described

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes that the headers of a published letter may take. All properties must fit into one frame of 128 KiB.
_HEADERS_LIMIT = 100_000
#: Prefixes of headers that tell of earlier deliveries. A letter is requeued without them.
_EARLIER_DELIVERIES = ("x-proj-", "x-death", "x-first-death-", "x-last-death-", *BROKER_COUNTS)


def dead_letter_headers(
    headers: Mapping[Any, Any] | None,
    *,
    reason: str,
    queue: str,
    worker: str,
    time: float,
    attempts: int,
    ran: bool | None = None,
) -> dict[Any, Any]:
    """The headers of a message and ours that say why it is dead-lettered, in a form that py-amqp can write.

    Args:
        headers: of the message, as it was received.
        reason: one sentence.
        queue: where it was; a requeue sends it there.
        worker: node name of the worker that dead-letters it.
        time: seconds since the epoch.
        attempts: how often it was tried.
        ran: whether its task ran, or began to; None when that is not known.
    """
    ours: dict[Any, Any] = {REASON: reason[:4000], QUEUE: queue, WORKER: worker, TIME: float(time), ATTEMPTS: attempts}
    if ran is not None:
        ours[RAN] = ran
    # The broker's counts are about the queue that it leaves.
    kept = {name: value for name, value in (headers or {}).items() if name not in BROKER_COUNTS}
    return {**writable_headers(kept), **ours}


def writable_headers(headers: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """The headers with every value that py-amqp can read but not write (an unsigned 64-bit number, say) as text.

    Where all together are too long for a frame, the longest are cut.
    """
    sizes: dict[Any, int] = {}
    writable: dict[Any, Any] = {}
    for name, value in (headers or {}).items():
        writable[name] = value
        try:
            sizes[name] = len(dumps("F", ({name: value},)))
        except (AMQPError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError, struct.error):
            writable[name] = described(value)
            sizes[name] = LONGEST_DESCRIPTION
    excess = sum(sizes.values()) - _HEADERS_LIMIT
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        if sizes[name] > 4 * LONGEST_DESCRIPTION:
            writable[name] = described(writable[name])
            excess -= sizes[name] - 4 * LONGEST_DESCRIPTION
        else:
            # Short headers are not cut but dropped, the longest first.
            del writable[name]
            excess -= sizes[name]
    return writable


def copy_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties with which any user may publish a copy of a message that neither expires nor is lost.

    With the sender's `expiration` the copy would vanish from the dead-letter queue. With the `user_id` of another user
    the broker refuses it. Source: https://www.rabbitmq.com/docs/validated-user-id
    """
    kept = {name: value for name, value in properties.items() if name not in {"expiration", "user_id"}}
    headers = writable_headers(properties.get("application_headers"))
    # The broker would also send the copy to every queue that CC and BCC name, and counts deliveries of the copy anew.
    # Source: https://www.rabbitmq.com/docs/sender-selected
    dropped = {"CC", "BCC", *BROKER_COUNTS}
    kept["application_headers"] = {name: value for name, value in headers.items() if name not in dropped}
    kept["delivery_mode"] = 2
    return kept


def requeue_headers(headers: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """The headers of a letter that is requeued: without those of earlier deliveries.

    It is published straight to its queue. The exchange and the routing key of its sender are kept in headers, because a
    task that is retried is published there.
    """
    kept = writable_headers(headers)
    new = {name: value for name, value in kept.items() if not str(name).startswith(_EARLIER_DELIVERIES)}
    death = latest_death(kept)
    keys = death.get("routing-keys")
    origin = {
        EXCHANGE: kept.get(EXCHANGE, death.get("exchange")),
        ROUTING_KEY: kept.get(ROUTING_KEY, keys[0] if isinstance(keys, list) and keys else None),
    }
    return {**new, **origin} if all(isinstance(value, str) for value in origin.values()) else new


def latest_death(headers: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The latest entry of the broker's `x-death` header, which is its first; empty where there is none."""
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, dict) else {}
