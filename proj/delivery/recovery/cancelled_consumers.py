"""Cancelled consumers: lets a worker consume again from a queue whose consumer RabbitMQ cancelled at a timeout.

RabbitMQ 4.3 cancels the consumer of a message that was not acknowledged in time. Without a handler py-amqp raises an
error and Celery reconnects, so the broker takes all messages of the worker back and counts each as a failed delivery.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from proj.broker.connection import count_queue
from proj.delivery.recovery.closed_channel import reconnect_if_closed
from proj.delivery.recovery.consumer_tags import active_tags

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from kombu.transport.pyamqp import Channel

    from proj.delivery.consuming.consumer import Consumer

logger = logging.getLogger(__name__)


def consume_again_when_cancelled(consumer: Consumer) -> None:
    """Handle every `basic.cancel` on the channel of the worker, which does not consume yet.

    Does nothing where a timeout closes the channel: there `basic.cancel` says that a queue is gone, and the worker
    has to reconnect.
    """
    channel: Any = consumer.channel
    if consumer.broker_version.cancels_at_timeout:
        channel.basic_consume = partial(_consume, channel.basic_consume, partial(_cancelled, consumer, channel))


def _consume(
    stock: Callable[..., str],
    cancelled: Callable[[str], None],
    *words: object,
    on_cancel: Callable[[str], None] | None = None,
    **options: object,
) -> str:
    """As `amqp.Channel.basic_consume`, with a handler of cancellations; kombu passes none."""
    return stock(*words, on_cancel=on_cancel or cancelled, **options)


def _cancelled(consumer: Consumer, channel: Channel, tag: str) -> None:
    """Consume again soon: py-amqp is in the middle of reading, so a question to the broker has to wait."""
    consumer.call_soon(_consume_again, consumer, channel, tag)


def _consume_again(consumer: Consumer, channel: Channel, tag: str) -> None:
    """Consume again, unless the worker has reconnected, stopped or cancelled that consumer itself since.

    Raises:
        RecoverableConnectionError: the queue is gone, so the worker has to reconnect.
    """
    task_consumer = consumer.task_consumer
    if not task_consumer or consumer.channel is not channel or not consumer.is_running:
        return
    tags = active_tags(task_consumer)
    dispatcher = consumer.dispatcher
    name = dispatcher.consumed_with(tag) if dispatcher is not None else None
    queue = next((queue for queue in task_consumer.queues if queue.name == name or tags.get(queue.name) == tag), None)
    if queue is None:
        return
    with reconnect_if_closed(consumer.channel_errors):
        # On a channel of its own, which the broker closes when the queue is gone.
        own = cast("kombu.Connection", consumer.connection).connection.channel()
        count_queue(own, queue.name)
        own.close()
        if name is not None and dispatcher is not None:
            dispatcher.was_cancelled(tag)
        else:
            task_consumer.cancel_by_queue(queue.name)
            task_consumer.add_queue(queue)
            task_consumer.consume()
    logger.warning(
        "RabbitMQ cancelled the consumer of %s, because a message was not acknowledged in time. It will be delivered "
        "again. The worker consumes again.",
        queue.name,
        extra={"action": "consumer_cancelled", "queue": queue.name},
    )
