"""Heartbeats of a connection that is used now and then: without them no broker notices that its host is gone."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu import Connection

logger = logging.getLogger(__name__)

#: Beats in the time that was negotiated. The broker gives a connection up that is silent for twice that time.
RATE = 4
#: Seconds to wait for what the broker may have sent.
_READ_S = 0.001


def interval_s(connection: Connection | None) -> float | None:
    """Seconds between two calls of `beat`; None when there is no connection, or it has no heartbeat."""
    if connection is None or not connection.connected:
        return None
    negotiated: float = getattr(connection.connection, "heartbeat", 0)
    return negotiated / RATE if negotiated else None


def beat(connection: Connection) -> None:
    """Read what the broker has sent to an idle connection, and send a heartbeat when one is due.

    Raises:
        Exception: one of the transport's own errors: the connection is lost, or the broker has been silent for twice
            the negotiated time.
    """
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=_READ_S)
    connection.heartbeat_check(rate=RATE)


def has_beaten(connection: Connection) -> bool:
    """As `beat`; False when it failed, which is logged, so that the connection has to be made anew."""
    try:
        beat(connection)
    except Exception as error:  # noqa: BLE001 py-amqp raises any error on a lost connection
        logger.debug("A heartbeat failed: %r", error, extra={"action": "heartbeat_failed"})
        return False
    return True
