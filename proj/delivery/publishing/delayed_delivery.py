"""Celery's native delayed delivery, made safe for publishers: short delays, and a way that leads to a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.quorum_queues import detect_quorum_queues
from celery.utils.time import maybe_iso8601, subtract_datetimes  # type: ignore[attr-defined] # unlike celery-types
from kombu import Exchange
from kombu.common import Broadcast
from kombu.transport import native_delayed_delivery as native

from proj.broker.connection import ensure_connected

if TYPE_CHECKING:
    from datetime import datetime

    from celery import Celery
    from kombu import Connection

#: Where delayed messages enter, by name.
ENTRANCE: str = native.level_name(native.MAX_LEVEL)
#: An `eta` nearer than this becomes a countdown: it would be nearer than a second by the time Celery looks.
NEAR_S = 1.5


def whole_seconds(
    app: Celery, countdown: float | None, eta: datetime | str | None
) -> tuple[float | None, datetime | str | None]:
    """Countdown and eta such that the broker can delay by them, in place of these.

    The broker delays by whole seconds. Celery 5.7 cuts a part of a second to none and then refuses it with a
    ValueError; a delay is never shorter than asked for, so it becomes one second.
    """
    if not (countdown or eta) or not detect_quorum_queues(app, "amqp")[0]:
        return countdown, eta
    left_s = countdown or 0.0
    if eta:
        left_s = subtract_datetimes(maybe_iso8601(eta), app.now()).total_seconds()
    if not 0 < left_s < (NEAR_S if eta else 1.0):
        return countdown, eta
    return max(1.0, left_s), None


def is_delayed(exchange: object) -> bool:
    """Whether a publish to this exchange is delayed by the broker."""
    return getattr(exchange, "name", exchange) == ENTRANCE


def lay_way(app: Celery, connection: Connection, routing_key: str) -> None:
    """Make sure that a delayed message reaches a queue when it is due.

    Workers lay this way when they start. Before the first one has, or for a queue that none has heard of, the broker
    would take the message, confirm it, and drop it when it is due. Asked once a connection and key.
    """
    key = native._delay_prefix_re.sub("", routing_key, count=1)  # type: ignore[attr-defined] # unlike celery-types # noqa: SLF001 kombu has no public inverse of its own
    mark: Any = (ENTRANCE, key)
    # A publish that the broker refused has closed it, as kombu does after any error.
    ensure_connected(connection)
    known: set[Any] = connection.declared_entities  # type: ignore[assignment] # unlike celery-types
    if mark in known:
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
    known.add(mark)


def _exists(connection: Connection) -> bool:
    channel = connection.channel()
    try:
        Exchange(ENTRANCE, type="topic", passive=True)(channel).declare()
    except connection.channel_errors:
        return False
    else:
        return True
    finally:
        connection.maybe_close_channel(channel)
