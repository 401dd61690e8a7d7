"""Celery's event receiver, which gives on what it hears as it was written and which no message brings down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.events.receiver import EventReceiver
from kombu.clocks import LamportClock

from proj.journal.event import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable


class Receiver(EventReceiver):
    """Hears every event; the handler of `*` gets None for whatever cannot be one.

    Whoever reaches the broker may publish anything to the exchange of events. With Celery's own receiver one
    message without a type ends the capture, and with it goes the queue and what is in it.
    """

    def __init__(self, channel: Any, *, on_ready: Callable[[], None] | None = None, **options: Any) -> None:  # noqa: ANN401 Celery's own
        """Listen as Celery's does, and call `on_ready` when no event can be missed any more."""
        super().__init__(channel, **options)
        self._on_ready = on_ready
        # Not the app's, which goes out with every message: one forged event would set the clocks of all workers.
        self.clock = LamportClock()
        self.adjust_clock = self.clock.adjust
        self.forward_clock = self.clock.forward

    def on_consume_ready(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 Celery's own
        """Ask the workers for a heartbeat, as Celery does, and say that we listen."""
        super().on_consume_ready(*args, **options)
        if self._on_ready is not None:
            self._on_ready()

    def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ANN401, ARG002 kombu's own
        """Give on that something was unreadable; there is nothing to acknowledge."""
        self.process("", None)  # type: ignore[arg-type] # unlike celery-types

    def event_from_message(self, body: dict[str, Any], **_: Any) -> Any:  # type: ignore[override] # unlike celery-types # noqa: ANN401 Celery's own
        """The type and the event, with its timestamp as the sender wrote it and a clock that is one.

        Celery would shift timestamps by the difference of the time zones, though they are seconds since the epoch,
        the same everywhere (celery#2482).
        """
        clock = body.get("clock")
        if type(clock) is not int or not 0 <= clock < LARGEST:
            body.pop("clock", None)
        return super().event_from_message(body, localize=False)

    def _receive(self, body: Any, message: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 kombu's own
        for event in body if isinstance(body, list) else (body,):
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                self.process(*self.event_from_message(event))
            else:
                self.process("", None)  # type: ignore[arg-type] # unlike celery-types
