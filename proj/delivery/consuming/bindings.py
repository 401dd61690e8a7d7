"""Bindings: the queues that a worker consumes besides work queues, its own broadcast queue and those of patterns."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from celery import bootsteps
from celery.signals import celeryd_after_setup, celeryd_init
from kombu.common import ignore_errors

from proj.broker.connection import connected, failures
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.receivers import connect
from proj.delivery.recovery.lost_consumers import consumer_tags
from proj.delivery.settings import provide_defaults
from proj.environment import checked_patterns
from proj.errors import InvalidSetting, NoBroker
from proj.queues import BROADCAST, BROADCAST_EXPIRES_MS, CLASSIC, LONGEST_PATTERNS, bound_queue, broadcast_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    import amqp
    import kombu
    from celery import Celery

    from proj.delivery.consuming.consumer import Consumer


#: Seconds after which a worker asks again for a queue on a node that is down.
_AGAIN_S = 5.0


class Worker(Protocol):
    """What Celery's signals give of a worker; celery-types does not list it."""

    app: Celery
    hostname: str


def subscribe(app: Celery) -> None:
    """Let each worker of the app run every task that is sent to `proj.queues.BROADCAST`, and tasks by patterns.

    The setting `proj_bind` has the patterns, such as `("*.heavy",)`; with a wrong one no worker starts. A worker with
    patterns consumes from their queue, which it shares with all workers of the same patterns, and not from its usual
    queues; `-Q` wins over this. The worker's name must be settled before. Plain messages there are run as those of the
    app's default queue.
    """
    provide_defaults(app)

    def bind(instance: Worker, options: Mapping[str, object], **_: object) -> None:
        if instance.app is not app:
            return
        try:
            patterns = checked_patterns("proj_bind", app.conf.proj_bind, LONGEST_PATTERNS)
        except InvalidSetting as error:
            # Celery would only log the error, and the worker would consume its usual queues.
            error.show()
            raise SystemExit(error.exit_code) from error
        queue_type = app.conf.task_create_missing_queue_type or CLASSIC
        consumed = [broadcast_queue(instance.hostname).name]
        if patterns:
            bound = bound_queue(patterns, queue_type)
            app.amqp.queues.add(bound)
            consumed.append(bound.name)
            if not options.get("queues"):
                app.amqp.queues.select([bound.name])
        # Now, because the worker's consumer reads the setting before the next signal.
        _run_plain_messages_of(app, consumed)

    def listen(instance: Worker, **_: object) -> None:
        if instance.app is app:
            app.amqp.queues.select_add(broadcast_queue(instance.hostname, dead_letters=dead_letter_queue(app)))

    connect(app, celeryd_init, bind, uid="bindings")
    connect(app, celeryd_after_setup, listen, uid="bindings")
    app.steps["consumer"].add("proj.delivery.consuming.bindings:KeepBroadcasts")


def _run_plain_messages_of(app: Celery, names: list[str]) -> None:
    by_queue = app.conf.get("proj_adopt")
    task = by_queue.get(app.conf.task_default_queue) if isinstance(by_queue, dict) else None
    if task is not None:
        app.conf.proj_adopt = {**dict.fromkeys(names, task), **by_queue}


class KeepBroadcasts(bootsteps.StartStopStep):
    """Keeps a worker's broadcast queue from expiring while the worker consumes nothing, as in a quarantine.

    A worker that shuts down gets no further broadcasts: otherwise the queue would accept them for a minute more, and
    nobody would run them. Messages in the queue, and retries on their way to it, are kept for that minute.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Broadcast queue"
    #: The queue that a worker has left at a lost connection.
    _left: kombu.Queue | None = None

    def start(self, consumer: Consumer) -> None:
        """Ask the broker for the queue while it has no consumer, which begins its minute anew; by the forwarder."""
        # An app may have a consumer of its own.
        if not hasattr(consumer, "forwarder") or not consumer.is_amqp:
            return
        name = broadcast_queue(consumer.hostname).name
        if self._left is not None and name not in consumer.app.amqp.queues.consume_from:
            words = (consumer, cast("kombu.Connection", consumer.connection), self._left)
            threading.Thread(target=_consume_later, args=words, name="broadcast queue", daemon=True).start()

        def ask(connection: amqp.Connection) -> None:
            channel = connection.channel()
            channel.queue_declare(queue=name, passive=True)
            channel.close()

        def keep() -> None:
            if consumer.task_consumer is None or name not in consumer_tags(consumer.task_consumer):
                consumer.forwarder.ask(ask)

        consumer.rounds.every(BROADCAST_EXPIRES_MS / 1000 / 4, keep)

    def stop(self, consumer: Consumer) -> None:
        """Leave the queue at a lost connection: it is on one node, and the next connection may be to another.

        When that node is down, RabbitMQ takes minutes to refuse the queue, in which the worker would not consume.
        """
        name = broadcast_queue(consumer.hostname).name
        self._left = consumer.app.amqp.queues.consume_from.get(name, self._left)
        consumer.app.amqp.queues.deselect([name])

    def shutdown(self, consumer: Consumer) -> None:
        """Unbind the queue from the exchange of broadcasts."""
        connection = consumer.connection
        # While the worker connects again there is none.
        if not connection or connection.transport.driver_type != "amqp":
            return

        def unbind() -> None:
            channel = cast("amqp.Connection", connection.connection).channel()
            channel.queue_unbind(broadcast_queue(consumer.hostname).name, exchange=BROADCAST.name, routing_key="")
            channel.close()

        ignore_errors(connection, unbind)


def _consume_later(consumer: Consumer, connection: kombu.Connection, queue: kombu.Queue) -> None:
    """Declare the queue over a connection of its own until that succeeds, and let the worker consume from it."""
    while consumer.connection is connection:
        own = consumer.app.connection_for_write(heartbeat=0)
        with suppress(NoBroker, *failures(own)), connected(own):
            queue(own.default_channel).declare()
            consumer.call_soon(_consume, consumer, connection, queue)
            return
        time.sleep(_AGAIN_S)


def _consume(consumer: Consumer, connection: kombu.Connection, queue: kombu.Queue) -> None:
    if consumer.connection is connection and consumer.is_running:
        consumer.app.amqp.queues.select_add(queue)
        consumer.add_task_queue(queue.name)
