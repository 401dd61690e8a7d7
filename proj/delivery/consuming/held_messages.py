"""Held messages: those that a worker has received and not settled, and how it gives them back when it ends.

A return must not look like a lost worker to the next one, or a message that waited in several workers would be
quarantined or dead-lettered, though none of them died.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger
from celery.worker import state
from kombu.utils.functional import LRUCache

from proj.broker.nack import give_all_back
from proj.delivery.header_names import COPIES
from proj.queues import QUORUM, home_queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

#: Messages that are copied when a worker ends, at most: the worker cannot end before they are published. The others are
#: given back by `basic.nack`.
MOST_COPIES = 1000
#: Messages whose lost connections are remembered, the latest.
MOST_SURVIVALS = 10_000

logger = get_logger(__name__)


class HeldMessages:
    """The messages of one connection that are neither acknowledged nor rejected."""

    def __init__(self, consumer: Consumer) -> None:
        """Begin without any."""
        self._consumer = consumer
        #: By delivery tag.
        self.unsettled: dict[object, KeptMessage] = {}

    def begin(self) -> None:
        """Begin anew with a new connection: the broker has taken back those of the last one."""
        self.unsettled = {}

    def add(self, message: KeptMessage) -> None:
        """Hold an inspected message until it is settled."""
        self.unsettled[message.delivery_tag] = message

    def are_ours(self) -> bool:
        """Whether the broker still leaves these messages to this worker: it takes them back with a lost channel.

        Nobody has read from the connection since the worker was told to end, so the broker is asked.
        """
        consumer = self._consumer
        connection = consumer.connection
        if not consumer.is_amqp or connection is None or not connection.connected or not consumer.task_consumer:
            return False
        # py-amqp has no channel any more where its connection was closed meanwhile: an AttributeError.
        lost: tuple[type[Exception], ...] = (*consumer.connection_errors, *consumer.channel_errors, AttributeError)
        try:
            # First, for the broker would deliver them here again.
            consumer.task_consumer.cancel()
            consumer.channel.basic_qos(prefetch_size=0, prefetch_count=0, a_global=False)
        except lost as error:
            logger.warning(
                "The connection was lost while the worker ended, so RabbitMQ has taken its messages back: %r",
                error,
                extra={"action": "held_messages_lost"},
            )
            return False
        return True

    def copy_back(self) -> None:
        """Publish copies of the messages that were not run, where a return would be taken for a lost worker."""
        consumer = self._consumer
        version = consumer.broker_version
        running = {request.id for request in tuple(state.active_requests)}
        # Copied first: threads that have just run a task may settle its message now.
        held = [
            message
            for message in tuple(self.unsettled.values())
            if not message.is_moving and message.headers.get("id") not in running
        ]
        for message in [message for message in held if consumer.acks_late(message.delivery)][:MOST_COPIES]:
            quorum = self._is_quorum(message.delivery.queue)
            consumer.disposition.give_back(message, quorum=quorum, version=version)

    def give_back_one(self, message: KeptMessage) -> None:
        """Put a message that was not run back into its queue, while the worker goes on.

        Where a return would be taken for a lost worker, it is a copy at the end of the queue.
        """
        consumer = self._consumer
        quorum = self._is_quorum(message.delivery.queue)
        # A message that is acknowledged early was not run either, but a quorum queue counts its returns.
        if quorum or consumer.acks_late(message.delivery):
            consumer.disposition.give_back(message, quorum=quorum, version=consumer.broker_version)
        if not message.is_moving:
            if quorum and consumer.broker_version.counts_nacks:
                consumer.inspection.survivals.note((message,))
            message.requeue()

    def give_back(self) -> None:
        """Give all back at once; the end of the channel would, too, and RabbitMQ counts that as a failed delivery."""
        consumer = self._consumer
        with suppress(*consumer.connection_errors, *consumer.channel_errors):
            give_all_back(consumer.channel)

    def _is_quorum(self, name: str) -> bool:
        """Whether the app declares the queue as a quorum queue; a quarantine queue is one."""
        if name != home_queue(name):
            return True
        queue = self._consumer.app.amqp.queues.get(name)
        arguments = (queue.queue_arguments if queue is not None else None) or {}
        return bool(arguments.get("x-queue-type") == QUORUM)


class Survivals:
    """How often this worker lost its connection with a message in hand, or gave it back, and lived on.

    The broker counts both as it counts a dead worker. Only the worker itself can tell them apart.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._times: LRUCache[str, int] = LRUCache(limit=MOST_SURVIVALS)

    def note(self, messages: Iterable[KeptMessage]) -> None:
        """The broker takes these messages back from this worker and counts that: they are unsettled or given back."""
        for message in messages:
            copy = name_of_copy(message.headers)
            if copy is not None:
                self._times[copy] = self.times(copy) + 1

    def times(self, copy: str | None) -> int:
        """How often this worker survived with this copy of a message; see `name_of_copy`."""
        return self._times.get(copy, 0) if copy is not None else 0


def name_of_copy(headers: Mapping[Any, Any]) -> str | None:
    """What tells a copy of a message from all others, because the broker counts each anew; None without a task's id."""
    task_id, copies = headers.get("id"), headers.get(COPIES)
    return f"{copies if isinstance(copies, int) else 0} {task_id}" if isinstance(task_id, str) else None
