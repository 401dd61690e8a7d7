"""One connection that consumes from one queue, for one thread; it lives until it is closed or lost."""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from amqp.exceptions import AccessRefused, NotAllowed
from kombu import Connection

from proj.broker.connection import TRANSPORT_OPTIONS, ensure_connected, is_login_refused, login_refused, losses
from proj.delivery.broker_errors import NOT_FOUND, final_error
from proj.delivery.unreadable_properties import tolerate
from proj.messaging.heartbeat import Heartbeat
from proj.messaging.message import Message

if TYPE_CHECKING:
    from kombu import Queue

logger = logging.getLogger(__name__)

#: Seconds of one wait for messages while something is unsettled that another thread may settle meanwhile.
SETTLE_TICK_S = 0.02


class Counts(NamedTuple):
    """What a queue holds, as the broker counts it."""

    ready: int
    consumers: int


class Subscription:
    """Messages of one queue, as they come. Its `losses` are what it raises when its connection is gone."""

    def __init__(self, url: str, queue: Queue, *, prefetch: int, heartbeat_s: float) -> None:
        """Keep what `open` needs.

        Args:
            url: of the broker.
            queue: made when it is missing.
            prefetch: unacknowledged messages that the broker gives out at a time; 0 is without limit.
            heartbeat_s: seconds; a dead connection is noticed, here and by the broker, in two of these.
        """
        self.connection = Connection(url, heartbeat=heartbeat_s, transport_options=TRANSPORT_OPTIONS)
        self._queue = queue
        self._prefetch = prefetch
        self._owner = threading.get_ident()
        self._arrived: deque[Message] = deque()
        #: What other threads settled, for the owner to write: no two threads may write at once.
        self._settled: deque[tuple[int, bool]] = deque()
        #: How many are here and not settled yet.
        self._unsettled = 0
        #: What another has met on this connection, for `next` to raise.
        self.lost: Exception | None = None
        #: py-amqp's connection: kombu's would connect again by itself when it is lost, and consume from nothing.
        self._beneath: Any = None
        self._channel: Any = None
        self._tag = ""
        self._lock = threading.Lock()
        self._heartbeat: Heartbeat | None = None

    def open(self, *, consume: bool = True) -> None:
        """Connect, make the queue when it is missing, and begin to consume; without `consume` only `take` gets any.

        Raises:
            NoBroker: the broker refuses the login.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker does not let us consume, and would not the next time.
        """
        try:
            ensure_connected(self.connection)
        except (AccessRefused, NotAllowed) as error:
            if not is_login_refused(error):
                raise
            raise login_refused(self.connection, error) from error
        beneath = self._beneath = self.connection.connection
        tolerate(beneath)
        if beneath.heartbeat:
            self._heartbeat = Heartbeat(beneath.send_heartbeat, beneath.heartbeat / 2, lock=self._lock)
        self._channel = beneath.channel()
        # A body that does not fit its content encoding would be an error of the whole connection.
        self._channel.auto_decode = False
        try:
            self._queue(self._channel).queue_declare()
            self._channel.basic_qos(0, self._prefetch, False)  # noqa: FBT003 py-amqp names it a_global
            if consume:
                self._tag = self._channel.basic_consume(self._queue.name, callback=self._receive)
        except self.connection.channel_errors as error:
            final = final_error(error, f"a consumer of queue {self._queue.name!r}")
            # A queue that is gone already is made again by the next attempt.
            if final is None or getattr(error, "reply_code", None) == NOT_FOUND:
                raise
            raise final from error
        if self._heartbeat is not None:
            self._heartbeat.start()

    def next(self, timeout_s: float) -> Message | None:
        """The next message; None when none came within `timeout_s`, or sooner while another is unsettled."""
        if self.lost is not None:
            raise self.lost
        self._write_settled()
        if not self._arrived:
            with self._lock:
                with suppress(TimeoutError):
                    # Whoever settles it in another thread must not wait until this one has waited.
                    self._beneath.drain_events(timeout=min(timeout_s, SETTLE_TICK_S) if self._unsettled else timeout_s)
                # After a read, for the beats that came while a handler worked are still to be read then.
                self._beneath.heartbeat_tick()
        return self._arrived.popleft() if self._arrived else None

    def ack(self, tag: int) -> None:
        """Acknowledge a message; any thread may."""
        self._settle(tag, done=True)

    def give_back(self, tag: int) -> None:
        """Give a message back; any thread may."""
        self._settle(tag, done=False)

    def count(self) -> Counts:
        """What is ready, and how many consume: this one too, unless it is cancelled."""
        with self._lock:
            answer = self._channel.queue_declare(self._queue.name, passive=True)
        return Counts(int(answer.message_count), int(answer.consumer_count))

    def cancel(self) -> None:
        """Take no more messages; those that are held stay here."""
        with self._lock:
            self._channel.basic_cancel(self._tag)

    def take(self) -> Message | None:
        """The message at the head of the queue, without consuming; None when none waits."""
        with self._lock:
            raw = self._channel.basic_get(self._queue.name)
        return None if raw is None else self._message(raw)

    def take_held(self) -> Message | None:
        """The next message that came beside the last one; None when none did."""
        return self._arrived.popleft() if self._arrived else None

    def close(self) -> None:
        """Disconnect: the broker gives what is held to whoever is next. Safe to call twice, and after `drop`."""
        self._stop_heartbeat()
        try:
            self._write_settled()
            self.connection.release()
        except self.losses as error:
            logger.debug("A connection could not be closed in order: %r", error)
            self.connection.collect()

    def drop(self) -> None:
        """Disconnect from a broker that does not answer, without a word to it."""
        self._stop_heartbeat()
        self._settled.clear()
        self.connection.collect()

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    @property
    def losses(self) -> tuple[type[Exception], ...]:
        """What it raises when its connection or channel is gone."""
        return losses(self.connection)

    def _receive(self, raw: Any) -> None:  # noqa: ANN401 py-amqp's message
        self._arrived.append(self._message(raw))

    def _message(self, raw: Any) -> Message:  # noqa: ANN401 py-amqp's message
        info = raw.delivery_info
        # A message without a body has an empty text in its place.
        body = bytes(raw.body or b"")
        self._unsettled += 1
        return Message(
            body, raw.properties, tag=info["delivery_tag"], redelivered=bool(info["redelivered"]), settlement=self
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
                        self._channel.basic_reject(tag, requeue=True)
            except self.losses as error:
                logger.warning("A message of %r could not be settled, and comes again: %r", self._queue.name, error)
