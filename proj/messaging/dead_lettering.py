"""Dead-lettering: a message that cannot be worked on becomes a dead letter, with the reason."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

from proj import queues
from proj.delivery.consuming.redeliveries import failed_deliveries
from proj.delivery.dead_letters.headers import copy_properties, dead_letter_headers
from proj.errors import NoBroker, QueueFull, Unconfirmed

if TYPE_CHECKING:
    from proj.messaging.message import Message
    from proj.messaging.publisher import Publisher

logger = logging.getLogger(__name__)

#: Errors that are not the fault of the message: what raised them is tried until it succeeds.
TEMPORARY_ERRORS = (NoBroker, QueueFull, Unconfirmed)
#: Redeliveries without an acknowledgement after which a message is a dead letter. RabbitMQ 4 drops it after 20.
REDELIVERY_LIMIT = 15


def redelivery_count(message: Message) -> int:
    """How often the message came back unacknowledged; a classic queue does not count, and gives 1 at most."""
    return failed_deliveries(message.headers, redelivered=message.redelivered)


def dead_letter(message: Message, reason: str, *, attempts: int, queue: str, publisher: Publisher) -> None:
    """Publish the message as a dead letter and acknowledge it; requeue it when the broker does not confirm that.

    Args:
        message: the message that cannot be worked on.
        reason: a sentence.
        attempts: how often it was tried.
        queue: where the message came from, and where it goes when the dead letter is requeued.
        publisher: publishes the dead letter.
    """
    properties = copy_properties(dict(message.properties))
    properties["application_headers"] = dead_letter_headers(
        properties["application_headers"],
        reason=reason,
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
            dead_letters=True,
            **properties,
        )
    except TEMPORARY_ERRORS as error:
        logger.warning(
            "A message of queue %r could not be dead-lettered and goes back to its queue: %s",
            queue,
            error,
            extra={"action": "message_requeued"},
        )
        message.give_back()
    else:
        message.ack()
