"""Consumers that a worker believes to have and the broker does not have."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from amqp.exceptions import RecoverableConnectionError
from celery import bootsteps

from proj.broker.queue_counts import count_soon
from proj.delivery.recovery.consumer_tags import active_tags
from proj.delivery.recovery.running import is_running
from proj.delivery.recovery.silence import silence_limit_s

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from celery import Celery
    from kombu.asynchronous.timer import Timer

    from proj.broker.queue_counts import QueueCount

logger = logging.getLogger(__name__)

#: Seconds after which the broker is asked again: a consumer may be so new that the broker does not have it yet.
AGAIN_S = 1.0


class Rounds(Protocol):
    """Those of our consumer."""

    def every(self, seconds: float, check: Callable[[], object], /) -> None:
        """Call `check` about every so many seconds."""


class Consumer(Protocol):
    """Our consumer, `proj.delivery.consuming.consumer.Consumer`."""

    app: Celery
    connection: kombu.Connection
    timer: Timer
    blueprint: bootsteps.Blueprint
    task_consumer: kombu.Consumer | None
    rounds: Rounds

    def call_soon(self, call: Callable[..., object], /, *args: object) -> object:
        """Call it in the worker's loop."""


def consumer_tags(task_consumer: kombu.Consumer) -> dict[str, str]:
    """The consumers that the worker believes to have, by queue, without those that are paused or cancelled by command.

    In adaptive dispatch a worker cancels consumers and opens others all the time.
    """
    tags = active_tags(task_consumer)
    return {queue.name: tags[queue.name] for queue in task_consumer.queues if queue.name in tags}


class LostConsumers(bootsteps.StartStopStep):
    """Checks at intervals that the broker still has the worker's consumers, and makes it reconnect if not.

    It needs our consumer, because that makes rounds.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Lost consumers"

    def start(self, consumer: Consumer) -> None:
        """Check every two heartbeats."""
        if hasattr(consumer, "rounds") and consumer.connection.transport.driver_type == "amqp":
            interval_s = silence_limit_s(consumer.app.conf.broker_heartbeat)
            consumer.rounds.every(interval_s, partial(self._check, consumer))

    def _check(self, consumer: Consumer, missed: dict[str, str] | None = None) -> None:
        """Ask the broker for each queue that is consumed from.

        Where other workers consume from a queue too, the answer does not show that this worker's consumer is lost. Then
        only heartbeats can show it. `missed` are consumers that the broker did not have a moment ago.
        """
        if not is_running(consumer.blueprint) or not consumer.task_consumer:
            return
        tags = consumer_tags(consumer.task_consumer)
        if missed is not None:
            tags = dict(tags.items() & missed.items())
        connection = consumer.connection

        def answered(name: str, count: QueueCount | None) -> None:
            if count is None or count.consumers == 0:
                consumer.call_soon(self._reconnect, consumer, connection, {name: tags[name]}, missed)

        for name in sorted(tags):
            consumer.call_soon(count_soon, connection, name, partial(answered, name))

    def _reconnect(
        self, consumer: Consumer, connection: kombu.Connection, lost: dict[str, str], missed: dict[str, str] | None
    ) -> None:
        """Ask again at first. Then end the worker's loop with an error on which Celery reconnects.

        Raises:
            RecoverableConnectionError: the worker still uses `connection` and believes to have one of the consumers.
        """
        if consumer.connection is not connection or not consumer.task_consumer:
            return
        still = dict(consumer_tags(consumer.task_consumer).items() & lost.items())
        if not still:
            return
        if missed is None:
            consumer.timer.call_after(AGAIN_S, self._check, (consumer, still))
            return
        names = ", ".join(sorted(still))
        logger.error(
            "The broker has no consumer of %s any more; reconnecting.",
            names,
            extra={"action": "consumers_lost", "queues": sorted(still)},
        )
        raise RecoverableConnectionError(f"The broker has no consumer of {names}.")
