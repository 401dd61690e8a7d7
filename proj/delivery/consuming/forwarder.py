"""Forwarder: publishes copies of messages with confirm, on a connection and a thread of its own.

The worker's loop may not wait for a broker: it would send no heartbeats and hear nothing of its pool. And a broker that
is short of memory stops reading from a connection that publishes: acknowledgements would wait there too.
"""

from __future__ import annotations

import heapq
import queue
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import amqp
from amqp.basic_message import Message
from amqp.exceptions import FrameSyntaxError, MessageNacked
from amqp.spec import Basic
from celery.utils.log import get_logger

from proj.broker.connection import TRANSPORT_OPTIONS, ensure_connected
from proj.broker.heartbeats import beat, has_beaten, interval_s
from proj.delivery.header_names import REASON
from proj.delivery.publishing.confirm_channel import REFUSED_S
from proj.service import Service

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

    from proj.delivery.consuming.message_copy import MessageCopy

#: Seconds to wait for a broker that does not answer.
ANSWER_TIMEOUT_S = 8.0
#: Seconds between two attempts to publish the same copy: the first pause and the longest.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
#: What py-amqp raises while it encodes properties that AMQP cannot carry.
_NOT_PORTABLE = (FrameSyntaxError, struct.error, ArithmeticError, RecursionError, TypeError, ValueError)

#: Something to ask the broker, over an open connection.
Question: TypeAlias = Callable[[amqp.Connection], object]

logger = get_logger(__name__)


class Forwarder(Service):
    """Publishes each copy until the broker has confirmed it, and reports that."""

    def __init__(self, connect: Callable[[], Connection], delivered: Callable[[MessageCopy], None]) -> None:
        """Connect with `connect` when there is something to do; `delivered` is called on the forwarder's thread."""
        self._connect = connect
        self._delivered = delivered
        self._inbox: queue.SimpleQueue[MessageCopy | Question | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, float, MessageCopy]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._channel: amqp.Channel | None = None
        self._returned: list[object] = []
        #: Monotonic time of the first nack over this channel since a confirm; None without one.
        self._nacked_since: float | None = None
        #: Whether the broker reads nothing from the connection: its memory or its disk is short.
        self._is_blocked = False
        self._pending = 0
        #: Whether the worker has ended without waiting for the rest.
        self._abandoned = False
        # A signal handler that shuts the worker down may interrupt the main thread in it.
        self._lock = threading.RLock()

    @property
    def pending(self) -> int:
        """How many copies are not confirmed yet."""
        return self._pending

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Publish each copy once more and end; the originals of the unconfirmed ones stay unacknowledged."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join(timeout_s)
            if thread.is_alive():
                # Their originals go back to their queues, and would be there twice.
                self._abandoned = True
                logger.warning(
                    "%d copies were not confirmed within %g s. Their messages go back to their queues.",
                    self.pending,
                    timeout_s,
                    extra={"action": "copies_abandoned", "copies": self.pending},
                )

    def send(self, message_copy: MessageCopy) -> None:
        """Publish the copy soon; returns at once."""
        self._count(1)
        self._inbox.put(message_copy)

    def ask(self, question: Question) -> None:
        """Call `question` soon with py-amqp's connection; a failure is logged and not repeated."""
        self._inbox.put(question)

    def _count(self, change: int) -> None:
        # Called from the worker's loop, from this thread, and from those of a thread pool.
        with self._lock:
            self._pending += change

    def _run(self) -> None:
        while (item := self._next()) is not None:
            if callable(item):
                self._answer(item)
            else:
                self._forward(item[1], item[0])
        while self._later:
            _due, _number, pause_s, message_copy = heapq.heappop(self._later)
            self._forward(message_copy, pause_s, again=False)
        self._disconnect()

    def _next(self) -> tuple[float, MessageCopy] | Question | None:
        """What to do now: a copy with the pause before its next attempt, a question, or None at the end."""
        while True:
            due_s = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
            waits_s = [wait_s for wait_s in (due_s, interval_s(self._connection)) if wait_s is not None]
            try:
                item = self._inbox.get(timeout=min(waits_s, default=None))
            except queue.Empty:
                if self._later and self._later[0][0] <= time.monotonic():
                    _due, _number, pause_s, message_copy = heapq.heappop(self._later)
                    return pause_s, message_copy
                self._beat()
                continue
            if item is None or callable(item):
                return item
            return _FIRST_PAUSE_S, item

    def _beat(self) -> None:
        if self._connection is not None and not has_beaten(self._connection):
            # What comes next connects again.
            self._disconnect()

    def _forward(self, message_copy: MessageCopy, pause_s: float, *, again: bool = True) -> None:
        if self._abandoned or not message_copy.original.can_be_settled:
            # The broker has taken the original back and delivers it again.
            self._count(-1)
            return
        try:
            self._publish(message_copy)
        except Exception as error:  # noqa: BLE001 the original is still unacknowledged, whatever went wrong
            if isinstance(error, MessageNacked):
                self._nacked_since = self._nacked_since or time.monotonic()
            elif not isinstance(error, LookupError):
                self._disconnect()
            logger.warning(
                "Message %s could not be moved to the queue %s (%r). It is tried again in %.1f s.",
                message_copy.original.label,
                message_copy.queue,
                error,
                pause_s,
                extra={"action": "copy_not_published"},
            )
            if again:
                due = time.monotonic() + pause_s
                longer_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                heapq.heappush(self._later, (due, next(self._numbers), longer_s, message_copy))
            return
        self._nacked_since = None
        self._count(-1)
        self._delivered(message_copy)
        if message_copy.then is not None:
            try:
                message_copy.then()
            except Exception as error:  # noqa: BLE001 a result backend raises anything
                logger.warning(
                    "The failure of message %s could not be stored: %r.",
                    message_copy.original.label,
                    error,
                    extra={"action": "failure_not_stored"},
                )

    def _publish(self, message_copy: MessageCopy) -> None:
        channel = self._open()
        self._returned.clear()
        try:
            self._publish_confirmed(channel, Message(message_copy.body, **message_copy.properties), message_copy.queue)
        except _NOT_PORTABLE:
            # Nothing has been written yet. The reason is worth more than properties that nobody can send.
            headers = message_copy.properties["application_headers"]
            bare = {name: value for name, value in headers.items() if str(name).startswith("x-proj-")}
            bare[REASON] = f"{bare.get(REASON, '')} Its own headers could not be kept.".strip()
            message = Message(message_copy.body, delivery_mode=2, application_headers=bare)
            self._publish_confirmed(channel, message, message_copy.queue)
        if self._returned:
            if message_copy.declare is not None:
                message_copy.declare(channel.connection, message_copy.queue)
            raise LookupError(f"there is no queue {message_copy.queue}")

    def _publish_confirmed(self, channel: amqp.Channel, message: Message, queue_name: str) -> None:
        """Publish, and return when the broker has confirmed it.

        What a blocked broker has not read is published when it reads again, also when the connection is closed before.
        So it is not published a second time, and waited for until then.
        """
        try:
            channel.basic_publish_confirm(
                message,
                exchange="",
                routing_key=queue_name,
                mandatory=True,
                timeout=ANSWER_TIMEOUT_S,
                confirm_timeout=ANSWER_TIMEOUT_S,
            )
        except TimeoutError:
            while self._is_blocked and not self._abandoned:
                with suppress(TimeoutError):
                    channel.wait([Basic.Ack, Basic.Nack], callback=_refuse_nack, timeout=ANSWER_TIMEOUT_S)
                    return
                if self._connection is not None:
                    beat(self._connection)
            raise

    def _note_blocked(self, *_: object, is_blocked: bool) -> None:
        self._is_blocked = is_blocked

    def _answer(self, question: Question) -> None:
        try:
            question(self._open().connection)
        except Exception as error:  # noqa: BLE001 the question is asked again by its own timer
            logger.debug("A question to the broker failed: %r", error)
            self._disconnect()

    def _open(self) -> amqp.Channel:
        channel = self._channel
        if channel is None or not channel.is_open:
            self._disconnect()
            self._connection = self._connect()
            ensure_connected(self._connection)
            beneath: Any = self._connection.connection
            self._is_blocked = False
            beneath.on_blocked = partial(self._note_blocked, is_blocked=True)
            beneath.on_unblocked = partial(self._note_blocked, is_blocked=False)
            return self._open_channel(beneath)
        if self._nacked_since is not None and time.monotonic() - self._nacked_since >= REFUSED_S:
            beneath = channel.connection
            channel.close()
            return self._open_channel(beneath)
        return channel

    def _open_channel(self, beneath: amqp.Connection) -> amqp.Channel:
        opened: Any = beneath.channel()
        self._nacked_since = None
        # celery-types does not list these events.
        opened.events["basic_return"].add(lambda *returned: self._returned.append(returned))
        channel = self._channel = cast("amqp.Channel", opened)
        return channel

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=1.0)
            except Exception as error:  # noqa: BLE001 a dead connection raises anything
                logger.debug("A connection could not be closed: %r", error)


def own_connection(app: Celery) -> Connection:
    """A connection for a forwarder, not made yet."""
    options = {**TRANSPORT_OPTIONS, "confirm_publish": True}
    return app.connection_for_write(heartbeat=app.conf.broker_heartbeat, transport_options=options)


def _refuse_nack(method: tuple[int, int], *_: object) -> None:
    if method == Basic.Nack:
        raise MessageNacked
