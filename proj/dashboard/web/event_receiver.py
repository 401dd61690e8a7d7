"""Event receiver: Flower's, which here looks for the broker every few seconds, however long it was away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from proj.journal.recording.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from kombu import Connection

logger = logging.getLogger(__name__)

#: Seconds between two attempts to connect. Flower doubles its own with each attempt: after an outage of half an hour
#: it would hear nothing for another half.
RETRY_S = 2


class EventReceiver(Receiver):
    """Receives events, once the broker answers."""

    def __init__(
        self,
        channel: Connection,
        *,
        app: Celery | None = None,
        handlers: dict[str, Callable[..., Any]] | None = None,
    ) -> None:
        """Connect, as often as it takes, and receive events of `app`."""
        # Without an end: this is the thread that receives events, and has nothing else to do.
        channel.ensure_connection(
            errback=_Outage().log,
            interval_start=RETRY_S,
            interval_step=0,
            interval_max=RETRY_S,
            reraise_as_library_errors=False,
        )
        super().__init__(channel, app=app, handlers=handlers)


class _Outage:
    """Warns of an outage once."""

    def __init__(self) -> None:
        self._level = logging.WARNING

    def log(self, error: BaseException, _: float) -> None:
        logger.log(
            self._level,
            "The broker does not answer (%s); it is tried every %d s, and events are received as soon as it does.",
            error,
            RETRY_S,
            extra={"action": "broker_away"},
        )
        self._level = logging.DEBUG
