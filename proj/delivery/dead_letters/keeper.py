"""Keeper: a worker's queue of dead letters is there and bound, and the worker says when its queues lead nowhere."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from proj.broker.app_management import AppManagement
from proj.broker.declaration import declare_dead_letters
from proj.broker.queue_counts import count_soon
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.dead_letters.destinations import dropped, sentence
from proj.printable import shown

if TYPE_CHECKING:
    import amqp
    from celery import Celery

    from proj.broker.queue_counts import QueueCount
    from proj.delivery.consuming.consumer import Consumer

#: Seconds between two looks whether the queue is still there.
LOOK_S = 5.0
#: Times that a queue which was deleted is made again, before it is seen: the user may have lost the permission.
MOST_TRIES = 3
#: Seconds after which the management API of a cluster knows a new queue.
_KNOWN_S = 1.0

logger = logging.getLogger(__name__)


class DeadLetterKeeper:
    """Makes the queue and its binding at each connection, and again when somebody has deleted them; on the loop."""

    def __init__(self, consumer: Consumer) -> None:
        """Keep the dead-letter queue of the app of `consumer`."""
        self._consumer = consumer
        self._has_asked = False
        #: Looks in a row at which there was no queue; None until it was made or seen.
        self._missing: int | None = None

    def begin(self) -> None:
        """Make the queue now, and look after it for as long as the connection lasts."""
        consumer = self._consumer
        name = dead_letter_queue(consumer.app)
        self._missing = None
        # Otherwise somebody else makes it, and a worker does not start without it.
        if consumer.app.conf.get("proj_declare", True):
            consumer.forwarder.ask(partial(self._make, name))
            consumer.rounds.every(LOOK_S, partial(self._look, name))
        if not self._has_asked:
            self._has_asked = True
            queues = consumer.task_consumer.queues if consumer.task_consumer else ()
            # What is in a queue of one consumer ends with it anyway.
            names = [queue.name for queue in queues if not (queue.auto_delete or queue.exclusive)]
            threading.Thread(
                target=_say_where_they_go, args=(consumer.app, names), name="dead-letter-policies", daemon=True
            ).start()

    def _make(self, name: str, connection: amqp.Connection) -> None:
        declare_dead_letters(connection, name=name)
        # Also before the first look: it may be deleted meanwhile.
        self._missing = 0

    def _look(self, name: str) -> None:
        consumer = self._consumer
        consumer.call_soon(count_soon, consumer.connection, name, partial(self._counted, name))

    def _counted(self, name: str, count: QueueCount | None) -> None:
        if count is not None:
            self._missing = 0
        elif self._missing is not None and self._missing < MOST_TRIES:
            # A queue that was never seen may be one that this user may not make. It was tried once.
            self._missing += 1
            logger.warning(
                "There is no queue %s any more. It is made again, with its binding.",
                name,
                extra={"action": "dead_letters_made_again"},
            )
            self._consumer.forwarder.ask(partial(declare_dead_letters, name=name))


def _say_where_they_go(app: Celery, names: list[str]) -> None:
    """Warn when the broker has no policy by which it keeps what it gives up; once, when the worker starts."""
    time.sleep(_KNOWN_S)
    try:
        management = AppManagement(app, os.environ.get("FLOWER_BROKER_API"))
        vhost = app.connection_for_read().virtual_host or "/"
        warning = sentence(dropped(management, vhost, dead_letters=dead_letter_queue(app), names=names))
    except Exception as error:  # noqa: BLE001 three libraries raise theirs, and the worker works all the same
        logger.info(
            "It is not known whether RabbitMQ keeps what expires or is rejected in %s: %s.",
            ", ".join(names),
            shown(error),
            extra={"action": "dead_letters_not_known"},
        )
        return
    if warning is not None:
        logger.warning("%s", warning, extra={"action": "dead_letters_go_nowhere"})
