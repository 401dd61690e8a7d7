"""Event flushes: when a worker sends the monitoring events of tasks that it has buffered.

Celery sends them in every turn of the worker's loop, which is a message for nearly every event. To publish a message
costs many times as much as to build and encode an event.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from kombu.asynchronous import Hub

#: Seconds between two flushes while events keep coming.
INTERVAL_S = 0.1
#: Events that are sent at once. With Celery's own fields they are some 80 kB, which fits into one frame of AMQP.
FULL = 200


class Dispatcher(Protocol):
    """Celery's event dispatcher, of which celery-types leaves this out."""

    connection: kombu.Connection
    #: The groups of events that are buffered; none without an event loop.
    buffer_group: frozenset[str]
    buffer_limit: int
    #: Called after an event was buffered, in the thread that sends it.
    on_send_buffered: Callable[[], object] | None

    def flush(self) -> None:
        """Send what is buffered."""


class Consumer(Protocol):
    """Celery's consumer."""

    blueprint: bootsteps.Blueprint
    #: None when the worker has sent no events since its start, not even heartbeats.
    event_dispatcher: Dispatcher | None
    hub: Hub | None


class EventFlushes:
    """Flushes in the loop: in its next turn when the last flush was `INTERVAL_S` ago, otherwise when that is over."""

    def __init__(self, flush: Callable[[], None], hub: Hub, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Call `flush` in the loop of `hub`; `clock` gives seconds."""
        self._flush_now = flush
        self._hub = hub
        self._clock = clock
        self._last = clock() - INTERVAL_S
        self._planned = False

    def plan(self) -> None:
        """Let what was buffered be sent; from any thread."""
        # Two threads may both plan a flush. The second one finds nothing to send.
        if not self._planned:
            self._planned = True
            # The timer belongs to the thread of the loop, and only this wakes the loop.
            self._hub.call_soon(self._flush_or_wait)

    def _flush_or_wait(self) -> None:
        wait_s = self._last + INTERVAL_S - self._clock()
        if wait_s > 0:
            self._hub.call_later(wait_s, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        # Before the flush, so that an event that it does not take any more plans the next one.
        self._planned = False
        self._last = self._clock()
        self._flush_now()


class CoalesceEvents(bootsteps.StartStopStep):
    """Gives each connection's event dispatcher those flushes; where Celery does not buffer, it changes nothing."""

    requires = ("celery.worker.consumer.events:Events",)
    label = "Event flushes"

    def start(self, consumer: Consumer) -> None:
        """Replace the flush of every turn, over RabbitMQ only."""
        dispatcher = _buffering(consumer)
        if dispatcher is not None and consumer.hub is not None:
            dispatcher.buffer_limit = FULL
            dispatcher.on_send_buffered = EventFlushes(dispatcher.flush, consumer.hub).plan

    def stop(self, consumer: Consumer) -> None:
        """Send every event at once from now on, because the loop has ended; after a lost connection it has not."""
        dispatcher = _buffering(consumer)
        if dispatcher is not None and consumer.blueprint.state != bootsteps.RUN:  # type: ignore[attr-defined] # celery-types lacks bootsteps.RUN
            dispatcher.on_send_buffered = dispatcher.flush
            dispatcher.flush()


def _buffering(consumer: Consumer) -> Dispatcher | None:
    """The consumer's dispatcher if it buffers events for RabbitMQ."""
    dispatcher = consumer.event_dispatcher
    if dispatcher is None or not dispatcher.buffer_group:
        return None
    return dispatcher if dispatcher.connection.transport.driver_type == "amqp" else None
