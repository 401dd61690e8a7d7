"""Consumers that a worker believes to have and the broker does not have."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from amqp.exceptions import NotFound, RecoverableConnectionError
from celery import bootsteps

from proj.broker.connection import count_queue
from proj.delivery.recovery.silence import silence_limit_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import amqp
    import kombu
    from celery import Celery
    from kombu.asynchronous.timer import Timer

logger = logging.getLogger(__name__)

#: Seconds after which the broker is asked again: a consumer may be so new that the broker does not have it yet.
AGAIN_S = 1.0


class Forwarder(Protocol):
    """The thread of our consumer that has a broker connection of its own."""

    def ask(self, question: Callable[[amqp.Connection], object], /) -> None:
        """Call `question` on that thread."""


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
    forwarder: Forwarder
    rounds: Rounds

    def call_soon(self, call: Callable[..., object], /, *args: object) -> object:
        """Call it in the worker's loop."""


def consumer_tags(task_consumer: kombu.Consumer) -> dict[str, str]:
    """The consumers that the worker believes to have, by queue, without those that are paused or cancelled by command.

    In adaptive dispatch a worker cancels consumers and opens others all the time.
    """
    tags: dict[str, str] = task_consumer._active_tags  # type: ignore[attr-defined] # noqa: SLF001 kombu tells it nowhere else
    return {queue.name: tags[queue.name] for queue in task_consumer.queues if queue.name in tags}


def queues_without_consumers(connection: amqp.Connection, names: Iterable[str]) -> list[str]:
    """Those of the named queues that have no consumer at all, or that do not exist.

    Where other workers consume from a queue too, this does not show that one worker's consumer is lost. Then only
    heartbeats can show it.
    """
    lost = []
    for name in names:
        # The broker closes the channel when a queue does not exist, so each is asked on its own.
        channel = connection.channel()
        try:
            if count_queue(channel, name).consumer_count == 0:
                lost.append(name)
            channel.close()
        except NotFound:
            lost.append(name)
    return lost


class LostConsumers(bootsteps.StartStopStep):
    """Checks at intervals that the broker still has the worker's consumers, and makes it reconnect if not.

    It needs our consumer, because that has a forwarder.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Lost consumers"

    def start(self, consumer: Consumer) -> None:
        """Check every two heartbeats."""
        if hasattr(consumer, "forwarder") and consumer.connection.transport.driver_type == "amqp":
            interval_s = silence_limit_s(consumer.app.conf.broker_heartbeat)
            consumer.rounds.every(interval_s, partial(self._check, consumer))

    def _check(self, consumer: Consumer, missed: dict[str, str] | None = None) -> None:
        """Ask on the forwarder's thread, because a broker that is gone does not answer.

        `missed` are consumers that the broker did not have a moment ago.
        """
        if consumer.blueprint.state != bootsteps.RUN or not consumer.task_consumer:  # type: ignore[attr-defined] # celery-types lacks bootsteps.RUN
            return
        tags = consumer_tags(consumer.task_consumer)
        if missed is not None:
            tags = dict(tags.items() & missed.items())
        connection = consumer.connection

        def ask(own: amqp.Connection) -> None:
            lost = {name: tags[name] for name in queues_without_consumers(own, sorted(tags))}
            if lost:
                consumer.call_soon(self._reconnect, consumer, connection, lost, missed)

        consumer.forwarder.ask(ask)

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
