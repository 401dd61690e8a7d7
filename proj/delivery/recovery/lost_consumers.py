"""The consumers that the broker has of a worker, against those that the worker believes to have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable


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
