"""Acknowledgements: writes those of one turn of the worker's loop together, in one frame where that is exact."""

from __future__ import annotations

import sys
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
#: None is written while more than this must wait.
_UNLIMITED = sys.maxsize
#: The last share of the budget, before held messages are given back, in which none is written. Each lets the broker
#: send another message. Before RabbitMQ 4.3 a quorum queue counts what is on its way to a consumer when that is
#: cancelled, as if a worker was lost. Messages are usually held for less than the rest of the budget (`ahead.SHARE`).
QUIET_SHARE = 0.4

logger = get_logger(__name__)


class Acknowledgements:
    """The acknowledgements of one worker that are not written yet."""

    def __init__(self, consumer: Consumer) -> None:
        """Write on the loop of `consumer`."""
        self._consumer = consumer
        #: Threads add to it while the loop takes from it.
        self._pending: deque[KeptMessage] = deque()
        self._together = Together(consumer.hub, self._write_due, longest_s=LONGEST_S, is_enough=self._are_enough)

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

    def _write_due(self) -> None:
        if self._pending and self._at_once == _UNLIMITED:
            self._together.plan()
        else:
            self.write()

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
        return len(self._pending) >= self._at_once

    @property
    def _at_once(self) -> int:
        """How many of them are written together; called from any thread."""
        consumer, dispatcher = self._consumer, self._consumer.dispatcher
        if dispatcher is None:
            return 0
        if consumer.broker_version.counts_nacks and dispatcher.may_hold_s < QUIET_SHARE * dispatcher.budget_s:
            return _UNLIMITED
        return dispatcher.acknowledges_at
