"""The queues that a worker needs and may not make: without them it does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import AccessRefused, NotFound
from celery import bootsteps
from celery.exceptions import WorkerShutdown
from celery.utils.log import get_logger

from proj.broker.declaration import own_channel
from proj.delivery.broker_errors import MUST_EXIST
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.settings import setting
from proj.errors import EXIT_FAILED
from proj.queues import is_deleted_without_consumers, quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    import amqp

    from proj.delivery.consuming.consumer import Consumer

logger = get_logger(__name__)


class RequireQueues(bootsteps.StartStopStep):
    """Ends the worker of an app that declares nothing when a queue that it needs is missing."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Required queues"

    def start(self, consumer: Consumer) -> None:
        """Ask the broker for them, before the worker consumes.

        Raises:
            WorkerShutdown: one is missing.
        """
        connection: Any = consumer.connection
        if setting(consumer.app, "proj_declare") or connection.transport.driver_type != "amqp":
            return
        queues = consumer.task_consumer.queues if consumer.task_consumer else ()
        needed = [dead_letter_queue(consumer.app)]
        for queue in queues:
            if not is_deleted_without_consumers(queue):
                needed += [queue.name, quarantine_queue(queue.name)]
        if missing := _missing(connection.connection, needed):
            logger.critical(
                "The worker %s does not start: proj_declare is False, and there is no queue %s in the virtual host %s. "
                "%s",
                consumer.hostname,
                " and no queue ".join(missing),
                connection.virtual_host,
                MUST_EXIST,
                extra={"action": "queues_missing", "queues": missing},
            )
            raise WorkerShutdown(EXIT_FAILED)


def _missing(connection: amqp.Connection, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if _is_missing(connection, name)]


def _is_missing(connection: amqp.Connection, name: str) -> bool:
    try:
        with own_channel(connection) as channel:
            channel.queue_declare(queue=name, passive=True)
    except NotFound as error:
        # Other texts say that a node is down.
        return "no queue" in str(error)
    except AccessRefused:
        # RabbitMQ 4.3 tells of a queue only those who have a right on it.
        logger.debug("It is not known whether there is a queue %s.", name)
    return False
