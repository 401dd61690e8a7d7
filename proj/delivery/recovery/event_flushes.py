"""Event flushes: when a worker sends the monitoring events of tasks that it has buffered.

Celery sends them in every turn of the worker's loop, which is a message for nearly every event. To publish a message
costs many times as much as to build and encode an event.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from celery import bootsteps
from celery.concurrency import solo

from proj.delivery.recovery.monitoring_events import EventDispatcher, count_letters, tell_lost_results
from proj.delivery.recovery.running import is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from celery.concurrency.base import BasePool
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
    #: Seconds between two heartbeats of AMQP; 0 or None without.
    amqheartbeat: float | None
    #: None when the worker has sent no events since its start, not even heartbeats.
    event_dispatcher: Dispatcher | None
    hub: Hub | None
    pool: BasePool


class EventFlushes:
    """Flushes soon when the last flush was `INTERVAL_S` ago, otherwise when that is over."""

    def __init__(
        self,
        flush: Callable[[], None],
        *,
        soon: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `flush` as `soon` and `later` call; `later` takes a delay in seconds, and `clock` gives seconds."""
        self._flush_now = flush
        self._soon = soon
        self._later = later
        self._clock = clock
        self._last = clock() - INTERVAL_S
        self._planned = False

    def plan(self) -> None:
        """Let what was buffered be sent; from any thread."""
        # Two threads may both plan a flush. The second one finds nothing to send.
        if not self._planned:
            self._planned = True
            self._soon(self._flush_or_wait)

    def _flush_or_wait(self) -> None:
        wait_s = self._last + INTERVAL_S - self._clock()
        if wait_s > 0:
            self._later(wait_s, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        # Before the flush, so that an event that it does not take any more plans the next one.
        self._planned = False
        self._last = self._clock()
        self._flush_now()


class CoalesceEvents(bootsteps.StartStopStep):
    """Gives each connection's event dispatcher those flushes where Celery buffers, and lets it hear of blocks."""

    requires = ("celery.worker.consumer.events:Events",)
    label = "Event flushes"

    def start(self, consumer: Consumer) -> None:
        """Replace the flush of every turn, over RabbitMQ only."""
        _heed_blocks(consumer)
        # An app may have a consumer of its own, which leaves dead letters to the broker.
        if hasattr(consumer, "disposition"):
            count_letters(consumer.event_dispatcher)
        lost = getattr(getattr(consumer, "results", None), "lost", None)
        if lost is not None:
            tell_lost_results(consumer.event_dispatcher, lost.count)
        dispatcher = _buffering(consumer)
        hub = consumer.hub
        if dispatcher is None or hub is None:
            return
        if isinstance(consumer.pool, solo.TaskPool):
            # A task runs in the loop, which stands still meanwhile.
            flushes = EventFlushes(dispatcher.flush, soon=_call, later=_call_in_thread)
        else:
            # In the next turn, because the timer belongs to the loop's thread, and events also come from others.
            flushes = EventFlushes(dispatcher.flush, soon=hub.call_soon, later=hub.call_later)
        dispatcher.buffer_limit = FULL
        dispatcher.on_send_buffered = flushes.plan

    def stop(self, consumer: Consumer) -> None:
        """Send every event at once from now on, because the loop has ended; after a lost connection it has not."""
        dispatcher = _buffering(consumer)
        if dispatcher is not None and not is_running(consumer.blueprint):
            dispatcher.on_send_buffered = dispatcher.flush
            dispatcher.flush()


def _buffering(consumer: Consumer) -> Dispatcher | None:
    """The consumer's dispatcher if it buffers events for RabbitMQ."""
    dispatcher = consumer.event_dispatcher
    if dispatcher is None or not dispatcher.buffer_group:
        return None
    return dispatcher if dispatcher.connection.transport.driver_type == "amqp" else None


def _heed_blocks(consumer: Consumer) -> None:
    """Let the dispatcher hear when the broker blocks publishers."""
    dispatcher, hub = consumer.event_dispatcher, consumer.hub
    if not isinstance(dispatcher, EventDispatcher) or not dispatcher.enabled:
        return
    connection = dispatcher.connection
    if connection.transport.driver_type != "amqp" or not connection.connected:
        return
    if hub is not None and not consumer.amqheartbeat:
        # Celery's loop reads it for its heartbeats alone.
        connection.transport.register_with_event_loop(connection.connection, hub)
    dispatcher.keep_while_blocked(is_read=hub is not None)


def _call(call: Callable[[], None]) -> None:
    call()


def _call_in_thread(delay_s: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(delay_s, call)
    timer.daemon = True
    timer.start()
