"""Burial: a message that cannot be done becomes a dead letter, with the reason."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

from proj import queues
from proj.delivery.consuming.redeliveries import history
from proj.delivery.dead_letters.headers import copy_properties, dead_letter_headers
from proj.errors import NoBroker, QueueFull, Unconfirmed

if TYPE_CHECKING:
    from proj.messaging.message import Message
    from proj.messaging.publisher import Publisher

logger = logging.getLogger(__name__)

#: What fails by no fault of the message: it is tried until it passes.
PASSING = (NoBroker, QueueFull, Unconfirmed)
#: Times that a message may be given out and come back before it is a dead letter: RabbitMQ 4 drops it after 20.
GIVEN_OUT_LIMIT = 15


def times_given_out(message: Message) -> int:
    """How often it came back unacknowledged; on a classic queue, which does not count, 1 at most."""
    return history(message.headers, redelivered=message.redelivered).lost_workers_here


def bury(message: Message, why: str, *, attempts: int, queue: str, publisher: Publisher) -> None:
    """Make it a dead letter; while that cannot be, it goes back to its queue.

    Args:
        message: what cannot be done.
        why: a sentence.
        attempts: how often it was tried.
        queue: where it came from, and goes when it is requeued.
        publisher: publishes the dead letter.
    """
    properties = copy_properties(dict(message.properties))
    properties["application_headers"] = dead_letter_headers(
        properties["application_headers"],
        reason=why,
        queue=queue,
        worker=f"{os.getpid()}@{socket.gethostname()}",
        time=time.time(),
        attempts=attempts,
    )
    try:
        publisher.publish(
            message.body,
            queue=queues.work_queue(queues.QUORUM, queues.DEAD_LETTERS),
            subject=f"a dead letter of queue {queue!r}",
            any_kind=True,
            **properties,
        )
    except PASSING as failure:
        logger.warning("A message of the queue %r goes back to it: %s", queue, failure)
        message.give_back()
    else:
        message.ack()
