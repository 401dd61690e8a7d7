"""One connection that consumes from one queue, for one thread; it exists until it is closed or lost."""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from amqp.exceptions import AccessRefused, NotAllowed
from kombu import Connection

from proj.broker.connection import (
    TRANSPORT_OPTIONS,
    count_queue,
    ensure_connected,
    is_login_refused,
    login_refused,
    losses,
)
from proj.broker.nack import give_back
from proj.delivery.broker_errors import NOT_FOUND, final_error
from proj.delivery.unreadable_properties import tolerate
from proj.messaging import options
from proj.messaging.heartbeat import Heartbeat
from proj.messaging.message import Message
from proj.messaging.missing_queue import missing_queue

if TYPE_CHECKING:
    import amqp
    import amqp.basic_message
    from amqp.protocol import queue_declare_ok_t
    from kombu import Queue
    from kombu.transport import pyamqp

logger = logging.getLogger(__name__)

#: Seconds of one wait for messages while a message is unacknowledged that another thread may acknowledge meanwhile.
SETTLE_TICK_S = 0.02


class Subscription:
    """The messages of one queue as they come. It raises one of its `losses` when its connection is lost."""

    #: py-amqp's connection. kombu's would connect again by itself when it is lost, and then consume from nothing.
    _amqp_connection: amqp.Connection
    _channel: pyamqp.Channel

    def __init__(self, url: str, queue: Queue, *, prefetch: int, heartbeat_s: float, declares: bool) -> None:
        """Prepare to connect.

        Args:
            url: of the broker.
            queue: where the messages come from.
            prefetch: unacknowledged messages that the broker delivers at a time; 0 is without limit.
            heartbeat_s: seconds; both sides notice a dead connection in two of them.
            declares: whether the queue is declared when it connects; else somebody else makes it.
        """
        self.connection = Connection(
            url, ssl=options.tls(url), heartbeat=heartbeat_s, transport_options=TRANSPORT_OPTIONS
        )
        self._queue = queue
        self._declares = declares
        self._prefetch = prefetch
        self._owner = threading.get_ident()
        self._arrived: deque[Message] = deque()
        #: Tags that other threads acknowledged (True) or requeued. The owner writes them: two threads must not write at
        #: once.
        self._settled: deque[tuple[int, bool]] = deque()
        #: How many messages are here and neither acknowledged nor requeued.
        self._unsettled = 0
        #: An error that somebody else met on this connection, for `next` to raise.
        self.lost: Exception | None = None
        self._tag = ""
        self._lock = threading.Lock()
        self._heartbeat: Heartbeat | None = None

    def open(self, *, consume: bool = True) -> None:
        """Connect, declare the queue, and start to consume; without `consume` only `take` gets messages.

        Raises:
            NoBroker: the broker refuses the login.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker does not let us consume, and will not later; `Unroutable` when there is no such
                queue and it is not declared.
        """
        try:
            ensure_connected(self.connection)
        except (AccessRefused, NotAllowed) as error:
            if not is_login_refused(error):
                raise
            raise login_refused(self.connection, error) from error
        amqp_connection = self._amqp_connection = self.connection.connection
        tolerate(amqp_connection)
        if amqp_connection.heartbeat:
            self._heartbeat = Heartbeat(amqp_connection.send_heartbeat, amqp_connection.heartbeat / 2, lock=self._lock)
        self._channel = amqp_connection.channel()
        # A body that does not match its content encoding would end the whole connection.
        self._channel.auto_decode = False
        try:
            if self._declares:
                self._queue(self._channel).queue_declare()
            self._channel.basic_qos(0, self._prefetch, a_global=False)
            if consume:
                self._tag = self._channel.basic_consume(self._queue.name, callback=self._receive)
        except self.connection.channel_errors as error:
            final = final_error(error, f"a consumer of queue {self._queue.name!r}")
            # The next attempt declares a queue again that was deleted meanwhile.
            is_missing = getattr(error, "reply_code", None) == NOT_FOUND
            if final is None or (is_missing and self._declares):
                raise
            raise (missing_queue(self._queue.name) if is_missing else final) from error
        if self._heartbeat is not None:
            self._heartbeat.start()

    def next(self, timeout_s: float) -> Message | None:
        """The next message; None when none came within `timeout_s`, or sooner while another is unacknowledged."""
        if self.lost is not None:
            raise self.lost
        self._write_settled()
        if not self._arrived:
            with self._lock:
                with suppress(TimeoutError):
                    # Another thread's acknowledgement must not wait until this thread has waited.
                    self._amqp_connection.drain_events(
                        timeout=min(timeout_s, SETTLE_TICK_S) if self._unsettled else timeout_s
                    )
                # After a read, because the heartbeats that came while a handler worked are read only then.
                self._amqp_connection.heartbeat_tick()
        return self._arrived.popleft() if self._arrived else None

    def ack(self, tag: int) -> None:
        """Acknowledge a message; any thread may."""
        self._settle(tag, done=True)

    def give_back(self, tag: int) -> None:
        """Requeue a message; any thread may."""
        self._settle(tag, done=False)

    def count(self) -> queue_declare_ok_t:
        """How many messages are ready and how many consumers there are: this one too, unless it is cancelled."""
        with self._lock:
            return count_queue(self._channel, self._queue.name)

    def cancel(self) -> None:
        """Take no more messages; those that have come stay here."""
        with self._lock:
            self._channel.basic_cancel(self._tag)

    def take(self) -> Message | None:
        """The message at the head of the queue, without consuming; None when the queue is empty."""
        with self._lock:
            raw = self._channel.basic_get(self._queue.name)
        return None if raw is None else self._message(raw)

    def take_held(self) -> Message | None:
        """The next message that has come already; None when there is none."""
        return self._arrived.popleft() if self._arrived else None

    def close(self) -> None:
        """Disconnect; the broker requeues unacknowledged messages. It may be called twice, and after `drop`."""
        self._stop_heartbeat()
        try:
            self._write_settled()
            self.connection.release()
        except self.losses as error:
            logger.debug("A connection was lost while it was closed: %r", error, extra={"action": "close_failed"})
            self.connection.collect()

    def drop(self) -> None:
        """Disconnect without telling the broker, because it does not answer."""
        self._stop_heartbeat()
        self._settled.clear()
        self.connection.collect()

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    @property
    def losses(self) -> tuple[type[Exception], ...]:
        """The errors that it raises when its connection or channel is lost."""
        return losses(self.connection)

    def _receive(self, raw: amqp.basic_message.Message) -> None:
        self._arrived.append(self._message(raw))

    def _message(self, raw: amqp.basic_message.Message) -> Message:
        info = raw.delivery_info
        # Never decoded, see `open`; py-amqp gives a message without a body an empty text.
        body = cast("bytes", raw.body or b"")
        self._unsettled += 1
        return Message(
            bytes(body),
            raw.properties,
            tag=info["delivery_tag"],
            redelivered=bool(info["redelivered"]),
            settlement=self,
        )

    def _settle(self, tag: int, *, done: bool) -> None:
        self._settled.append((tag, done))
        if threading.get_ident() == self._owner:
            self._write_settled()

    def _write_settled(self) -> None:
        while self._settled:
            tag, done = self._settled.popleft()
            self._unsettled -= 1
            try:
                with self._lock:
                    if done:
                        self._channel.basic_ack(tag)
                    else:
                        give_back(self._channel, tag)
            except self.losses as error:
                logger.warning(
                    "A message of queue %r could not be acknowledged or requeued, and will be delivered again: %r",
                    self._queue.name,
                    error,
                    extra={"action": "settle_failed"},
                )
