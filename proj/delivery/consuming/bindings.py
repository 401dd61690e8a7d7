"""What a worker hears besides work queues: broadcasts, by a queue of its own, and the patterns that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.signals import celeryd_after_setup, celeryd_init
from kombu.common import ignore_errors

from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.settings import provide_defaults
from proj.queues import BROADCAST, BROADCAST_EXPIRES_MS, CLASSIC, bound_queue, broadcast_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


def subscribe(app: Celery) -> None:
    """Let each worker of the app run once what is sent to `proj.queues.BROADCAST`, and what its patterns match.

    The setting `proj_bind` has the patterns, such as `("*.heavy",)`; a worker that has some consumes from their queue,
    which it shares with all workers of the same patterns, in place of its usual ones. `-Q` stands above them. After
    whatever else names workers. Plain messages are adopted there as from the app's default queue.
    """
    provide_defaults(app)

    def bind(instance: Any, options: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 Celery's worker
        if instance.app is not app:
            return
        queue_type = app.conf.task_create_missing_queue_type or CLASSIC
        heard = [broadcast_queue(instance.hostname).name]
        if app.conf.proj_bind:
            bound = bound_queue(app.conf.proj_bind, queue_type)
            app.amqp.queues.add(bound)
            heard.append(bound.name)
            if not options.get("queues"):
                app.amqp.queues.select([bound.name])
        # Now, for the worker's consumer reads it before the next signal.
        _adopt_too(app, heard)

    def listen(instance: Any, **_: object) -> None:  # noqa: ANN401 Celery's worker
        if instance.app is app:
            app.amqp.queues.select_add(broadcast_queue(instance.hostname, dead_letters=dead_letter_queue(app)))

    celeryd_init.connect(bind, weak=False, dispatch_uid=f"proj.subscribe.bind.{id(app)}")
    celeryd_after_setup.connect(listen, weak=False, dispatch_uid=f"proj.subscribe.listen.{id(app)}")
    app.steps["consumer"].add("proj.delivery.consuming.bindings:KeepBroadcasts")


def _adopt_too(app: Celery, names: list[str]) -> None:
    adopters = app.conf.get("proj_adopt")
    task = adopters.get(app.conf.task_default_queue) if isinstance(adopters, dict) else None
    if task is not None:
        app.conf.proj_adopt = {**dict.fromkeys(names, task), **adopters}


class KeepBroadcasts(bootsteps.StartStopStep):
    """Keeps a worker's broadcast queue while the worker consumes nothing, for a suspect's or a lease's sake.

    Who leaves in order gets no further broadcasts: else what is broadcast to nobody would be accepted for a minute
    more. What waits in the queue, and retries on their way to it, are kept for that minute.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Broadcast queue"

    def start(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Ask for the queue again and again, which begins its minute anew; on the forwarder's thread."""
        if not hasattr(consumer, "forwarder") or consumer.connection.transport.driver_type != "amqp":
            return
        name = broadcast_queue(consumer.hostname).name

        def ask(connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
            channel = connection.channel()
            channel.queue_declare(queue=name, passive=True)
            channel.close()

        consumer.timer.call_repeatedly(BROADCAST_EXPIRES_MS / 1000 / 4, consumer.forwarder.ask, (ask,))

    def shutdown(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Unbind the queue from what is broadcast."""
        # There is none while it connects again.
        if not consumer.connection or consumer.connection.transport.driver_type != "amqp":
            return

        def unbind() -> None:
            channel = consumer.connection.connection.channel()
            channel.queue_unbind(broadcast_queue(consumer.hostname).name, exchange=BROADCAST.name, routing_key="")
            channel.close()

        ignore_errors(consumer, unbind)
