"""Receiver: Celery's event receiver, which here survives malformed events and passes timestamps on unchanged."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from amqp.exceptions import AccessRefused
from celery.events.receiver import EventReceiver
from kombu.clocks import LamportClock

from proj.broker.declaration import may_declare, own_channel
from proj.journal.event import LARGEST
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery
    from kombu import Connection, Message, Queue

logger = logging.getLogger(__name__)


class Receiver(EventReceiver):
    """Receives all events and gives them to the handler of `*`, which gets None for a malformed one.

    Everyone who can reach the broker can publish any message to the event exchange. In Celery's own receiver, one
    message without a type ends the capture; the queue and the events in it are then lost.
    """

    def __init__(
        self,
        channel: Connection,
        *,
        app: Celery | None = None,
        handlers: dict[str, Callable[..., Any]] | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        """Receive events of `app` over a connection, and call `on_ready` once the event queue exists."""
        super().__init__(channel, app=app, handlers=handlers)
        self._on_ready = on_ready
        # Not the app's own clock, which goes out with every message: one forged event would set it for all workers.
        self.clock = LamportClock()
        self.adjust_clock = self.clock.adjust
        self.forward_clock = self.clock.forward

    @contextmanager
    def extra_context(self, connection: Connection, channel: object) -> Iterator[None]:
        """Call `on_ready`; kombu enters this when it has declared the queue and consumes from it."""
        with super().extra_context(connection, channel):
            if self._on_ready is not None:
                self._on_ready()
            yield

    def get_consumers(self, consumer: type, channel: Any) -> Any:  # noqa: ANN401 kombu's signature
        """As Celery's; a user who may not declare the exchange of events receives from that which others have made."""
        # celery-types does not list it.
        queue: Queue = vars(self)["queue"]
        is_amqp = channel.connection.client.transport.driver_type == "amqp"
        if is_amqp and not may_declare(channel.connection, queue.exchange):
            queue.exchange.no_declare = True
        return super().get_consumers(consumer, channel)

    def wakeup_workers(self, channel: object = None) -> None:  # noqa: ARG002 Celery's signature
        """Ask workers for a heartbeat now, as Celery's; where the user may not, they are heard at their next one."""
        # celery-types does not list all of it.
        app, connection = cast("Celery", self.app), cast("Any", self.connection)
        # On a channel of its own: the broker closes the one on which it refuses something.
        with own_channel(connection.connection) as own:
            try:
                app.control.broadcast("heartbeat", connection=connection, channel=own)
            except AccessRefused as error:
                logger.debug("Workers are not asked for a heartbeat: %s", error.reply_text)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Give the handler None; there is nothing to acknowledge."""
        logger.debug(
            "An event with content type %s could not be decoded: %s",
            shown(message.content_type),
            shown(exc),
            extra={"action": "malformed_event"},
        )
        self._handle_malformed()

    def _receive(self, body: object, *_: object) -> None:
        for event in body if isinstance(body, list) else (body,):
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                self._handle_malformed()
                continue
            clock = event.get("clock")
            if type(clock) is not int or not 0 <= clock < LARGEST:
                event.pop("clock", None)
            # Celery would shift timestamps by the difference of the time zones, although they are seconds since the
            # epoch, which are the same everywhere (celery#2482).
            self.process(*self.event_from_message(event, localize=False))

    def _handle_malformed(self) -> None:
        handler = self.handlers.get("*")
        if handler is not None:
            handler(None)
