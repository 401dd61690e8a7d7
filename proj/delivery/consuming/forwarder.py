"""Publishes copies of messages with confirms, on a connection and a thread of its own, so that no worker waits for it.

A worker's loop may not wait for a broker: it would neither beat nor hear of its pool. And on the connection that it
consumes from, a broker short of memory would stop reading acknowledgements too.
"""

from __future__ import annotations

import heapq
import queue
import struct
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.exceptions import AMQPError, FrameSyntaxError, MessageNacked, NotFound
from celery.utils.log import get_logger

from proj.delivery.header_names import REASON
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Connection

    from proj.delivery.consuming.message_copy import Parcel

#: Seconds to wait for a broker that does not answer.
ANSWER_TIMEOUT_S = 8.0
#: Seconds between two tries for the same copy: the first time, and at most.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
#: What py-amqp raises while it writes down properties that AMQP cannot carry.
_NOT_PORTABLE = (FrameSyntaxError, struct.error, ArithmeticError, RecursionError, TypeError, ValueError)

logger = get_logger(__name__)


class Forwarder(Service):
    """Takes copies, publishes each until the broker has confirmed it, and says so."""

    def __init__(self, connect: Callable[[], Connection], delivered: Callable[[Parcel], None]) -> None:
        """Connect by `connect` when there is something to do; `delivered` is called on the forwarder's thread."""
        self._connect = connect
        self._delivered = delivered
        self._inbox: queue.SimpleQueue[Parcel | Callable[[Any], None] | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, float, Parcel]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._channel: Any = None
        self._returned: list[Any] = []
        self._pending = 0
        self._lock = threading.Lock()

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
        """Try each copy once more, and end; what is not confirmed by then stays unacknowledged, with the broker."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join(timeout_s)

    def send(self, parcel: Parcel) -> None:
        """Publish the copy soon; returns at once."""
        self._count(1)
        self._inbox.put(parcel)

    def ask(self, question: Callable[[Any], None]) -> None:
        """Call `question` with an open connection of py-amqp soon; when it fails, that is logged and no more."""
        self._inbox.put(question)

    def _count(self, change: int) -> None:
        # From the loop, from this thread, and from those of a thread pool.
        with self._lock:
            self._pending += change

    def _run(self) -> None:
        while (item := self._next()) is not None:
            if callable(item):
                self._answer(item)
            else:
                self._forward(item[1], item[0])
        while self._later:
            _due, _number, pause_s, parcel = heapq.heappop(self._later)
            self._forward(parcel, pause_s, again=False)
        self._disconnect()

    def _next(self) -> tuple[float, Parcel] | Callable[[Any], None] | None:
        """What to do now: a copy with its pause, a question, or None at the end."""
        while True:
            wait_s = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
            try:
                item = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                _due, _number, pause_s, parcel = heapq.heappop(self._later)
                return pause_s, parcel
            if item is None or callable(item):
                return item
            return _FIRST_PAUSE_S, item

    def _forward(self, parcel: Parcel, pause_s: float, *, again: bool = True) -> None:
        channel = parcel.original.channel
        if channel is None or not channel.is_open:
            # The broker has taken the original back and gives it again.
            self._count(-1)
            return
        try:
            self._publish(parcel)
        except Exception as error:  # noqa: BLE001 whatever went wrong, the original is safe and is tried again
            if not isinstance(error, (MessageNacked, LookupError)):
                self._disconnect()
            logger.warning("A message could not be moved to %s (%r); it is tried again.", parcel.queue, error)
            if again:
                due = time.monotonic() + pause_s
                longer_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                heapq.heappush(self._later, (due, next(self._numbers), longer_s, parcel))
            return
        self._count(-1)
        self._delivered(parcel)
        if parcel.then is not None:
            try:
                parcel.then()
            except Exception as error:  # noqa: BLE001 a result backend raises what it likes
                logger.warning("What became of a message could not be recorded: %r.", error)

    def _publish(self, parcel: Parcel) -> None:
        channel = self._open()
        self._returned.clear()
        try:
            self._confirmed(channel, Message(parcel.body, **parcel.properties), parcel.queue)
        except _NOT_PORTABLE:
            # Nothing has been written yet. The reason is worth more than properties that nobody can send.
            headers = parcel.properties["application_headers"]
            bare = {name: value for name, value in headers.items() if str(name).startswith("x-proj-")}
            bare[REASON] = f"{bare.get(REASON, '')} Its own headers could not be kept.".strip()
            self._confirmed(channel, Message(parcel.body, delivery_mode=2, application_headers=bare), parcel.queue)
        if self._returned:
            if parcel.ours:
                self._declare(parcel.queue)
            raise LookupError(f"there is no queue {parcel.queue}")

    @staticmethod
    def _confirmed(channel: Any, message: Message, queue_name: str) -> None:  # noqa: ANN401 py-amqp's channel
        channel.basic_publish_confirm(
            message,
            exchange="",
            routing_key=queue_name,
            mandatory=True,
            timeout=ANSWER_TIMEOUT_S,
            confirm_timeout=ANSWER_TIMEOUT_S,
        )

    def _answer(self, question: Callable[[Any], None]) -> None:
        try:
            self._open()
            question(self._connection.connection)  # type: ignore[union-attr] # it is open now
        except Exception as error:  # noqa: BLE001 whatever went wrong, the original is safe and is tried again
            logger.debug("A question to the broker failed: %r", error)
            self._disconnect()

    def _open(self) -> Any:  # noqa: ANN401 py-amqp's channel
        if self._channel is None or not self._channel.is_open:
            self._disconnect()
            self._connection = self._connect()
            self._connection.connect()
            self._channel = self._connection.channel()
            self._channel.events["basic_return"].add(lambda *returned: self._returned.append(returned))
        return self._channel

    def _declare(self, queue_name: str) -> None:
        declare(self._connection.connection, queue_name)  # type: ignore[union-attr] # it is open now

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=1.0)
            except Exception as error:  # noqa: BLE001 a result backend raises what it likes
                logger.debug("A connection could not be closed: %r", error)


def declare(connection: Any, queue_name: str) -> int:  # noqa: ANN401 py-amqp's connection
    """Make the queue as a durable quorum queue unless there is one of any kind; return how many messages wait in it.

    Raises:
        AMQPError: the broker refuses.
    """
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=queue_name, passive=True).message_count)
    except NotFound:
        channel = connection.channel()
        arguments = {"x-queue-type": "quorum"}
        channel.queue_declare(queue=queue_name, durable=True, auto_delete=False, arguments=arguments)
        return 0
    finally:
        try:
            channel.close()
        except (AMQPError, OSError) as error:
            logger.debug("A channel could not be closed: %r", error)
