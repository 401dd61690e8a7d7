"""The paused queues of one worker: it leaves them alone until they are resumed, also over the next connections.

Celery's own `cancel_consumer` is forgotten when the worker starts again, and gives nothing back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from proj.broker.pauses import paused
from proj.delivery.pausing.unstarted import count_tasks, give_back_unstarted
from proj.delivery.recovery.closed_channel import reconnect_if_closed
from proj.queues import is_deleted_without_consumers

if TYPE_CHECKING:
    import kombu
    from kombu import Queue

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

logger = get_logger(__name__)


class Pauses:
    """What one worker knows of them; on the worker's loop."""

    def __init__(self, consumer: Consumer) -> None:
        """Begin without any."""
        self._consumer = consumer
        #: The queues that the broker said are paused, with the number of messages that were given back since.
        self._given_back: dict[str, int] = {}
        #: The queues that the worker would consume from.
        self._queues: dict[str, Queue] = {}

    def __contains__(self, queue: object) -> bool:
        """Whether the queue is paused, so that nothing of it may begin."""
        return queue in self._given_back

    @property
    def names(self) -> list[str]:
        """The queues that the worker leaves alone."""
        return sorted(self._queues)

    def begin(self) -> None:
        """Leave the paused queues of a new connection out, which does not consume yet."""
        self._given_back, self._queues = {}, {}
        task_consumer = self._consumer.task_consumer
        for name in self._ask([queue.name for queue in task_consumer.queues] if task_consumer else []):
            self._pause(name)

    def look(self, name: str) -> None:
        """Ask the broker whether the queue is paused, and follow.

        Raises:
            RecoverableConnectionError: the connection is lost, or a queue is gone; the next one begins anew.
        """
        consumer = self._consumer
        if not consumer.is_running or not consumer.task_consumer:
            return
        with reconnect_if_closed(consumer.channel_errors):
            if not self._ask([name]):
                self._resume(name)
            elif name not in self._queues:
                self._pause(name)

    def forget(self, name: str) -> None:
        """The worker is told not to consume from the queue at all."""
        self._queues.pop(name, None)

    def give_back(self, message: KeptMessage) -> None:
        """Give back a message that was on its way."""
        self._given_back[message.delivery.home] += 1
        self._consumer.held.give_back_one(message)

    def state_of(self, name: str) -> dict[str, object]:
        """What the worker replies when it is asked for the queue."""
        running, starting = count_tasks(name)
        task_consumer = self._consumer.task_consumer
        queue = _find(task_consumer, name)
        return {
            "consumes": queue is not None,
            "paused": name in self._queues,
            "running": running,
            "starting": starting,
            "given_back": self._given_back.get(name, 0),
            "refused": _obstacle(queue) if queue is not None else None,
        }

    def _ask(self, names: list[str]) -> frozenset[str]:
        connection: Any = self._consumer.connection
        return paused(connection.connection, names) if self._consumer.is_amqp else frozenset()

    def _pause(self, name: str) -> None:
        consumer = self._consumer
        task_consumer = consumer.task_consumer
        queue = _find(task_consumer, name)
        if queue is not None and _obstacle(queue) is not None:
            return
        # First: what arrives while the broker cancels the consumer is given back too.
        self._given_back.setdefault(name, 0)
        if queue is None or task_consumer is None:
            return
        self._queues[name] = queue
        if consumer.dispatcher is not None:
            consumer.dispatcher.leave(name)
        task_consumer.cancel_by_queue(name)
        consumer.quarantine.leave(name)
        self._given_back[name] += give_back_unstarted(consumer, name)
        logger.warning(
            "The queue %s is paused. This worker consumes from it again after: celery queues resume.",
            name,
            extra={"action": "queue_paused", "queue": name},
        )

    def _resume(self, name: str) -> None:
        self._given_back.pop(name, None)
        queue = self._queues.pop(name, None)
        consumer = self._consumer
        task_consumer = consumer.task_consumer
        if queue is None or task_consumer is None:
            return
        task_consumer.add_queue(queue)
        logger.warning(
            "The queue %s is resumed: this worker consumes from it.",
            name,
            extra={"action": "queue_resumed", "queue": name},
        )
        if consumer.quarantine.paused:
            # It consumes when the quarantined task has ended.
            return
        if consumer.dispatcher is not None:
            consumer.dispatcher.renew()
        # Unless leased messages have all slots.
        elif consumer.prefetch.count != 0:
            task_consumer.consume()


def _find(task_consumer: kombu.Consumer | None, name: str) -> Queue | None:
    return next((queue for queue in task_consumer.queues if queue.name == name), None) if task_consumer else None


def _obstacle(queue: Queue) -> str | None:
    """Why the worker may not stop consuming from the queue; None when it may."""
    if is_deleted_without_consumers(queue):
        return "RabbitMQ deletes this queue with its messages when nobody consumes from it"
    return None
