"""Acknowledgements: writes those of one turn of the worker's loop together, in one frame where that is exact."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from proj.delivery.dispatch.together import Together

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

#: Seconds that an acknowledgement may wait for others while the worker holds messages that it can go on with.
LONGEST_S = 0.01
#: Acknowledgements that are written together, at most. The tasks of those that are not written yet are run again when
#: the worker is killed. A quarter of the largest window, 64, was no faster.
MOST = 8

logger = get_logger(__name__)


class Acknowledgements:
    """The acknowledgements of one worker that are not written yet."""

    def __init__(self, consumer: Consumer) -> None:
        """Write on the loop of `consumer`."""
        self._consumer = consumer
        #: Threads add to it while the loop takes from it.
        self._pending: deque[KeptMessage] = deque()
        self._together = Together(consumer.hub, self.write, longest_s=LONGEST_S, is_enough=self._are_enough)

    def begin(self) -> None:
        """Begin anew with a new connection: the broker delivers what was not acknowledged on the last one again."""
        self._pending.clear()
        self._together.begin()

    @property
    def waiting(self) -> int:
        """How many there are."""
        return len(self._pending)

    def add(self, message: KeptMessage) -> None:
        """Acknowledge the message soon; from any thread."""
        self._pending.append(message)
        self._together.plan()

    def write(self) -> None:
        """Write all of them; a message that cannot be acknowledged is logged, as Celery does."""
        consumer = self._consumer
        here: dict[object, KeptMessage] = {}
        while self._pending:
            message = self._pending.popleft()
            if message.settlement is None and not message.acknowledged and message.channel is consumer.channel:
                here[message.delivery_tag] = message
            else:
                message.ack_log_error(logger, consumer.connection_errors)
        if not here:
            return
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
            if self._consumer.dispatcher is not None:
                self._consumer.dispatcher.plan()
        for message in messages.values():
            message.ack()

    def _are_enough(self) -> bool:
        dispatcher = self._consumer.dispatcher
        return dispatcher is None or len(self._pending) >= dispatcher.acknowledges_at
