"""Celery's native delayed delivery for publishers: short delays, and a route that ends in a queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from celery.utils.quorum_queues import detect_quorum_queues
from celery.utils.time import maybe_iso8601, subtract_datetimes  # type: ignore[attr-defined] # the stub lacks the second
from kombu import Exchange
from kombu.common import Broadcast
from kombu.transport import native_delayed_delivery as native

from proj.broker.connection import ensure_connected
from proj.delivery.settings import setting

if TYPE_CHECKING:
    from datetime import datetime

    from celery import Celery
    from kombu import Connection

#: The exchange to which delayed messages are published.
DELAY_EXCHANGE: str = native.level_name(native.MAX_LEVEL)
#: An `eta` nearer than this many seconds becomes a countdown. When Celery reads it, less than a second would be left.
NEAR_S = 1.5
#: What kombu puts before the routing key of a delayed message: a binary digit for each level of delay.
_DELAY_PREFIX = re.compile(rf"(?:[01]\.){{{native.MAX_NUMBER_OF_BITS_TO_USE}}}")


def is_quorum_app(app: Celery) -> bool:
    """Whether the app has a quorum queue, so that Celery delays its tasks in the broker."""
    return detect_quorum_queues(app, "amqp")[0]


def whole_seconds(
    app: Celery, countdown: float | None, eta: datetime | str | None
) -> tuple[float | None, datetime | str | None]:
    """A countdown and an eta by which the broker can delay, instead of these.

    The broker delays by whole seconds. Celery 5.7 rounds less than a second down to none and then raises a ValueError.
    A delay is never shorter than asked for, so less than a second becomes one second.
    """
    if not (countdown or eta) or not is_quorum_app(app):
        return countdown, eta
    left_s = countdown or 0.0
    if (due := maybe_iso8601(eta)) is not None:
        left_s = subtract_datetimes(due, app.now()).total_seconds()
    if not 0 < left_s < (NEAR_S if eta else 1.0):
        return countdown, eta
    return max(1.0, left_s), None


def is_delayed(exchange: object) -> bool:
    """Whether the broker delays what is published to this exchange."""
    return getattr(exchange, "name", exchange) == DELAY_EXCHANGE


def without_delay(routing_key: str) -> str:
    """The routing key that a message has when its delay is over."""
    prefix = _DELAY_PREFIX.match(routing_key)
    return routing_key if prefix is None else routing_key[prefix.end() :]


def ensure_route(app: Celery, connection: Connection, routing_key: str) -> None:
    """Make sure that a delayed message reaches a queue when it is due.

    Workers declare this route when they start. Before the first worker has started, or for a queue that no worker
    knows, the broker would accept and confirm the message and drop it when it is due. The broker is asked once for each
    connection and key.
    """
    key = without_delay(routing_key)
    mark = (DELAY_EXCHANGE, key)
    if not setting(app, "proj_declare"):
        # It was made with the queues. Without it the publish is refused.
        return
    # kombu closes the connection after any error, also after a publish that the broker refused.
    ensure_connected(connection)
    # The stub allows None, which kombu replaces when it makes a connection.
    declared = cast("set[object]", connection.declared_entities)
    if mark in declared:
        return
    if not _exists(connection):
        native.declare_native_delayed_delivery_exchanges_and_queues(
            connection, app.conf.broker_native_delayed_delivery_queue_type
        )
    with connection.channel() as channel:
        for queue in app.amqp.queues.values():
            if queue.routing_key == key and not isinstance(queue, Broadcast):
                queue.bind(channel).declare()
                native.bind_queue_to_native_delayed_delivery_exchange(connection, queue)
    declared.add(mark)


def _exists(connection: Connection) -> bool:
    channel = connection.channel()
    try:
        Exchange(DELAY_EXCHANGE, type="topic", passive=True)(channel).declare()
    except connection.channel_errors:
        return False
    else:
        return True
    finally:
        connection.maybe_close_channel(channel)
