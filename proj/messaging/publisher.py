"""Publishes to queues by their names, confirmed, over a connection of its own; any thread may use it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from kombu import Connection

from proj.broker.connection import TRANSPORT_OPTIONS, connected, disconnect, ensure_connected, losses
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Patience, Sending
from proj.errors import Unroutable

if TYPE_CHECKING:
    from kombu import Queue

logger = logging.getLogger(__name__)

#: Seconds for which a full queue is tried: nothing is lost by it, so the caller is told soon.
FULL_TIMEOUT_S = 10.0


class Publisher:
    """One at a time is on its way. It connects when there is something to publish, and again when it must."""

    def __init__(self, url: str, *, timeout_s: float | None, full_timeout_s: float | None = FULL_TIMEOUT_S) -> None:
        """Publish to the broker at `url`, and give up a message after `timeout_s`; None is never.

        A queue that is full is tried for `full_timeout_s` of these.
        """
        # Without heartbeats, for nobody would beat between two messages: a dead connection shows at the next one.
        self._connection = Connection(url, transport_options=TRANSPORT_OPTIONS)
        self._timeout_s = timeout_s
        self._full_timeout_s = full_timeout_s
        self._lock = threading.Lock()
        self._declared: set[str] = set()
        self._is_known = False

    def publish(
        self,
        body: bytes,
        *,
        queue: Queue,
        what: str,
        any_kind: bool = False,
        **properties: Any,  # noqa: ANN401 AMQP's own
    ) -> None:
        """Return when the broker has the message in `queue`, on disk; the queue is made when it is missing.

        Args:
            body: of the message.
            queue: where it goes.
            what: it as an error's sentence names it.
            any_kind: whether a queue of that name with other arguments will do.
            properties: AMQP's, by py-amqp's names.

        Raises:
            NoBroker: no broker has answered yet, and none does now.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker will not have it; `QueueFull` when it may later.
            Unconfirmed: the deadline has passed; the broker may or may not have it.
        """
        message = Message(body, **{"delivery_mode": 2, **properties})
        with self._lock:
            self._greet()
            one = self._sending(what, str(properties.get("message_id") or ""))
            if not any_kind:
                self._declare(queue, one)
            try:
                self._send(message, queue.name, one)
            except Unroutable:
                # Nobody has made it yet, or somebody has deleted it.
                self._declared.discard(queue.name)
                self._declare(queue, one)
                self._send(message, queue.name, one)

    def declare(self, queue: Queue) -> None:
        """Make the queue when it is missing.

        Raises:
            what `publish` raises.
        """
        with self._lock:
            self._greet()
            self._declare(queue, self._sending(f"The queue {queue.name!r}"))

    def close(self) -> None:
        """Disconnect; the next message connects again."""
        with self._lock:
            try:
                self._connection.release()
            except losses(self._connection) as error:
                logger.debug("A connection could not be closed in order: %r", error)
                self._connection.collect()
            self._declared.clear()

    def _greet(self) -> None:
        """Find out at once whether there is a broker, before the first use; later it is waited for."""
        if not self._is_known:
            with connected(self._connection.clone()):
                self._is_known = True

    def _sending(self, what: str, message_id: str = "") -> Sending:
        return Sending(what, message_id, Patience(self._timeout_s), mandatory=True, full_timeout_s=self._full_timeout_s)

    def _declare(self, queue: Queue, one: Sending) -> None:
        def make() -> None:
            ensure_connected(self._connection)
            with self._connection.channel() as channel:
                queue(channel).queue_declare()

        if queue.name not in self._declared:
            one.until_done(make, self._connection, recover=self._disconnect)
            self._declared.add(queue.name)

    def _send(self, message: Any, routing_key: str, one: Sending) -> None:  # noqa: ANN401 py-amqp's message
        def publish() -> None:
            channel = ConfirmChannel.of(self._connection)
            before = channel.written
            try:
                channel.basic_publish(
                    message, routing_key=routing_key, mandatory=True, confirm_timeout=one.patience.left_s
                )
            finally:
                one.written = channel.written > before

        one.until_done(publish, self._connection, recover=self._disconnect)

    def _disconnect(self) -> None:
        disconnect(self._connection)
