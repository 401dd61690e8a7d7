"""Publishes messages to queues by name, with confirms, over a connection of its own; any thread may use it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, cast

from amqp.basic_message import Message
from kombu import Connection

from proj.broker.connection import TRANSPORT_OPTIONS, connected, disconnect, ensure_connected, losses
from proj.broker.declaration import declare_dead_letters
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Deadline, PublishOperation
from proj.errors import Unroutable
from proj.messaging import options
from proj.messaging.missing_queue import missing_queue

if TYPE_CHECKING:
    import amqp
    from kombu import Queue

logger = logging.getLogger(__name__)

#: Seconds for which a full queue is tried. The message is not lost by it, so the caller is told soon.
FULL_TIMEOUT_S = 10.0


class Publisher:
    """Publishes one message at a time. It connects when there is something to publish, and again when it must."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float | None,
        declares: bool,
        full_timeout_s: float | None = FULL_TIMEOUT_S,
    ) -> None:
        """Publish to the broker at `url`.

        Args:
            url: of the broker.
            timeout_s: seconds until a publish is given up; None is never.
            declares: whether a missing queue is declared; else somebody else makes it.
            full_timeout_s: seconds of these for which a full queue is tried.
        """
        # Without heartbeats, because nobody would send them between two messages. The next publish notices a dead
        # connection.
        self._connection = Connection(url, ssl=options.tls(url), transport_options=TRANSPORT_OPTIONS)
        self._timeout_s = timeout_s
        self._full_timeout_s = full_timeout_s
        self._declares = declares
        self._lock = threading.Lock()
        self._declared: set[str] = set()
        self._has_connected = False

    def publish(
        self, body: bytes, *, queue: Queue, subject: str, dead_letters: bool = False, **properties: object
    ) -> None:
        """Return when the broker has the message in `queue`, on disk. A missing queue is declared, if any is.

        Args:
            body: of the message.
            queue: where it goes.
            subject: what is published, as it stands in a sentence: "message 'hello' for queue 'my_queue'".
            dead_letters: whether it is a queue of dead letters: it may exist with other arguments, and is bound to its
                exchange where it is declared.
            properties: AMQP's, by py-amqp's names.

        Raises:
            NoBroker: no broker has ever answered, and none does now.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker will never accept the message; `QueueFull` when it may accept it later,
                `Unroutable` when the queue is missing and not declared.
            Unconfirmed: the deadline has passed; the broker may have the message or not.
        """
        message = Message(body, **{"delivery_mode": 2, **properties})
        with self._lock:
            self._check_broker()
            operation = self._operation(subject, str(properties.get("message_id") or ""))
            if self._declares and not dead_letters:
                self._declare(queue, operation)
            try:
                self._send(message, queue.name, operation)
            except Unroutable as error:
                if not self._declares:
                    raise missing_queue(queue.name) from error
                # The queue was not declared yet, or somebody has deleted it.
                self._declared.discard(queue.name)
                self._declare(queue, operation, dead_letters=dead_letters)
                self._send(message, queue.name, operation)

    def declare(self, queue: Queue) -> None:
        """Declare the queue; where none is declared, ask whether there is one.

        Raises:
            Unroutable: there is none, and it is not declared.
            NoBroker, QueueMismatch, PublishRefused, Unconfirmed: as `publish`.
        """
        with self._lock:
            self._check_broker()
            self._declare(queue, self._operation(f"the declaration of queue {queue.name!r}"))

    def close(self) -> None:
        """Disconnect; the next message connects again."""
        with self._lock:
            try:
                self._connection.release()
            except losses(self._connection) as error:
                logger.debug("A connection was lost while it was closed: %r", error, extra={"action": "close_failed"})
                self._connection.collect()
            self._declared.clear()

    def _check_broker(self) -> None:
        """Raise `NoBroker` if the broker has never answered and does not now; later a lost broker is waited for."""
        if not self._has_connected:
            with connected(self._connection.clone()):
                self._has_connected = True

    def _operation(self, subject: str, message_id: str = "") -> PublishOperation:
        deadline = Deadline(self._timeout_s)
        return PublishOperation(subject, message_id, deadline, mandatory=True, full_timeout_s=self._full_timeout_s)

    def _declare(self, queue: Queue, operation: PublishOperation, *, dead_letters: bool = False) -> None:
        def declare() -> None:
            ensure_connected(self._connection)
            if dead_letters:
                declare_dead_letters(cast("amqp.Connection", self._connection.connection), queue.name)
                return
            with self._connection.channel() as channel:
                queue(channel).queue_declare(passive=not self._declares)

        if queue.name not in self._declared:
            try:
                operation.until_done(declare, self._connection, recover=self._disconnect)
            except Unroutable as error:
                raise missing_queue(queue.name) from error
            self._declared.add(queue.name)

    def _send(self, message: Message, routing_key: str, operation: PublishOperation) -> None:
        def publish() -> None:
            channel = ConfirmChannel.for_connection(self._connection)
            before = channel.written
            try:
                channel.basic_publish(
                    message, routing_key=routing_key, mandatory=True, confirm_timeout=operation.deadline.left_s
                )
            finally:
                operation.written = channel.written > before

        operation.until_done(publish, self._connection, recover=self._disconnect)

    def _disconnect(self) -> None:
        disconnect(self._connection)
