"""The consumers that the broker has of a worker, against those that the worker believes to have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound, RecoverableConnectionError
from celery import bootsteps

from proj.delivery.recovery.silence import limit_s

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)


def consumed(task_consumer: Any) -> list[str]:  # noqa: ANN401 kombu's consumer has no type
    """The queues from which the worker believes to consume; one that is paused, or cancelled by people, is not."""
    return sorted(queue.name for queue in task_consumer.queues if task_consumer.consuming_from(queue.name))


def without_consumers(connection: Any, names: Iterable[str]) -> list[str]:  # noqa: ANN401 py-amqp has no types
    """Those of the queues of which the broker has no consumer at all, or that are not there.

    Where other workers consume too, a lost consumer cannot be told from these; heartbeats then have to tell.
    """
    lost = []
    for name in names:
        # A queue that is not there closes the channel, so each is asked on one of its own.
        channel = connection.channel()
        try:
            if channel.queue_declare(queue=name, passive=True).consumer_count == 0:
                lost.append(name)
            channel.close()
        except NotFound:
            lost.append(name)
    return lost


class WatchConsumers(bootsteps.StartStopStep):
    """Asks the broker now and then whether it still has this worker's consumers; for a consumer with a forwarder."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Consumer watch"

    def start(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Ask every two heartbeats."""
        if hasattr(consumer, "forwarder") and consumer.connection.transport.driver_type == "amqp":
            every_s = limit_s(consumer.app.conf.broker_heartbeat)
            consumer.timer.call_repeatedly(every_s, self._look, (consumer,))

    def _look(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Ask on the forwarder's thread, for a broker that is gone does not answer."""
        if consumer.blueprint.state != bootsteps.RUN or not consumer.task_consumer:  # type: ignore[attr-defined] # unlike celery-types
            return
        names, asked_over = consumed(consumer.task_consumer), consumer.connection

        def ask(connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
            lost = without_consumers(connection, names)
            if lost:
                consumer.call_soon(self._connect_again, consumer, asked_over, lost)

        consumer.forwarder.ask(ask)

    @staticmethod
    def _connect_again(consumer: Any, asked_over: Any, lost: list[str]) -> None:  # noqa: ANN401 Celery's and kombu's
        """Make the worker's loop end with an error that Celery mends, unless it has done so or left meanwhile.

        Raises:
            RecoverableConnectionError: always but then.
        """
        if (
            consumer.connection is asked_over
            and consumer.task_consumer
            and set(lost) & set(consumed(consumer.task_consumer))
        ):
            names = ", ".join(lost)
            logger.error("The broker has no consumer of %s any more; connecting again.", names)
            raise RecoverableConnectionError(f"The broker has no consumer of {names}.")
