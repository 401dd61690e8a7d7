"""Acknowledgements: writes those of one turn of the worker's loop together, in one frame where that is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger
from vine import promise

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

#: Seconds that an acknowledgement may wait for others while the worker holds messages that it can go on with.
LONGEST_S = 0.01

logger = get_logger(__name__)


class Acknowledgements:
    """The acknowledgements of one worker that are not written yet."""

    def __init__(self, consumer: Consumer) -> None:
        """Write on the loop of `consumer`, which has one."""
        self._consumer = consumer
        self._pending: list[KeptMessage] = []
        self._timer_is_set = False
        # Reused, so that the loop has it only once.
        self._turn = promise(self._on_turn)

    def begin(self) -> None:
        """Begin anew with a new connection: the broker delivers what was not acknowledged on the last one again."""
        self._pending = []
        # The timer of the last connection may be lost with it.
        self._timer_is_set = False

    def add(self, message: KeptMessage) -> None:
        """Acknowledge the message soon; from any thread."""
        self._pending.append(message)
        self._consumer.hub.call_soon(self._turn)

    def write(self) -> None:
        """Write all of them; a message that cannot be acknowledged is logged, as Celery does."""
        if not self._pending:
            return
        consumer = self._consumer
        pending, self._pending = self._pending, []
        here: dict[object, KeptMessage] = {}
        for message in pending:
            if message.settlement is None and not message.acknowledged and message.channel is consumer.channel:
                here[message.delivery_tag] = message
            else:
                message.ack_log_error(logger, consumer.connection_errors)
        try:
            self._write(here)
        except consumer.connection_errors as error:
            logger.critical("Couldn't ack %d messages, reason: %r", len(here), error, exc_info=True)

    def _write(self, messages: dict[object, KeptMessage]) -> None:
        """One frame for the oldest of the unsettled messages, as far as all of them are meant; one for each other."""
        oldest: list[KeptMessage] = []
        for tag in self._consumer.held.unsettled:
            if tag not in messages:
                break
            oldest.append(messages.pop(tag))
        if oldest:
            channel: Any = self._consumer.channel
            channel.basic_ack(oldest[-1].delivery_tag, multiple=len(oldest) > 1)
            for message in oldest:
                message.was_acknowledged()
        for message in messages.values():
            message.ack()

    def _on_turn(self) -> None:
        if not self._pending:
            return
        dispatcher = self._consumer.dispatcher
        if dispatcher is not None and len(self._pending) < dispatcher.acknowledges_at:
            if not self._timer_is_set:
                self._timer_is_set = True
                self._consumer.timer.call_after(LONGEST_S, self._on_timer)
            return
        self.write()

    def _on_timer(self) -> None:
        self._timer_is_set = False
        self.write()
