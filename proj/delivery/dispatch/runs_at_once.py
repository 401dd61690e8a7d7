"""Which messages Celery gives to the pool at once, so that they may begin without the worker's loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.delivery.dispatch.acknowledgements import MOST

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage


def runs_at_once(consumer: Consumer, message: KeptMessage) -> bool:
    """Whether nothing of the message's task needs a timer of the loop, for all that is known."""
    worker: Any = consumer
    contents = message.delivery.contents
    return (
        contents is not None
        and not contents.headers.get("eta")
        and not contents.headers.get("expires")
        and worker.task_buckets[contents.headers["task"]] is None
    )


def may_begin_in_thread(consumer: Consumer, message: KeptMessage) -> bool:
    """Whether a thread of the pool may begin the message's task.

    Nor where it would double tasks when the connection is lost: the loop has to write acknowledgements first.
    """
    worker: Any = consumer
    channel: Any = message.channel
    return (
        runs_at_once(consumer, message)
        and bool(channel and channel.connection and channel.connection.connected)
        and consumer.acknowledgements.waiting < MOST
        and not worker.on_task_message
    )
