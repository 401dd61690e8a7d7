"""The handler of a queue's messages: it is tried, and then the message is acknowledged or dead-lettered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from proj.errors import InvalidMessage
from proj.messaging.dead_lettering import TEMPORARY_ERRORS, dead_letter

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.messaging.message import Message
    from proj.messaging.publisher import Publisher

logger = logging.getLogger(__name__)

#: Seconds before the second attempt. The pause doubles after each attempt, up to the longest.
RETRY_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Handler:
    """Calls a function with one message after the other.

    A message that fails is tried again at once and not requeued. So the order is kept, and a poison pill behind the
    message cannot overtake it.
    """

    def __init__(
        self,
        function: Callable[[Message], object],
        *,
        queue: str,
        publisher: Publisher,
        attempts: int,
        acknowledge: bool,
        pause: Callable[[float], bool],
    ) -> None:
        """Handle the messages of a queue.

        Args:
            function: works on one message.
            queue: the name of the queue, to which a dead letter goes when it is requeued.
            publisher: publishes dead letters.
            attempts: how often a message is tried.
            acknowledge: whether a message is acknowledged when the function has returned.
            pause: waits so many seconds; False when the consumer is to stop.
        """
        self._function = function
        self._queue = queue
        self._publisher = publisher
        self._attempts = attempts
        self._acknowledge = acknowledge
        self._pause = pause

    def handle(self, message: Message) -> None:
        """Try the message until it succeeds or is dead-lettered; when the consumer stops in between, it is requeued."""
        attempts, pause_s = 0, RETRY_PAUSE_S
        while True:
            try:
                self._function(message)
            except TEMPORARY_ERRORS as error:
                logger.warning(
                    "The handler of queue %r is tried again: %s",
                    self._queue,
                    error,
                    extra={"action": "handler_retried"},
                )
            except Exception as error:
                attempts += 1
                logger.exception(
                    "The handler of queue %r failed, attempt %d of %d.",
                    self._queue,
                    attempts,
                    self._attempts,
                    extra={"action": "handler_failed"},
                )
                if message.settled:
                    return
                # A message that cannot be read now cannot be read later either.
                if attempts >= self._attempts or isinstance(error, InvalidMessage):
                    reason = _reason(error, attempts)
                    dead_letter(message, reason, attempts=attempts, queue=self._queue, publisher=self._publisher)
                    return
            else:
                if self._acknowledge:
                    message.ack()
                return
            if not self._pause(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _reason(error: Exception, attempts: int) -> str:
    """Why the message is a dead letter."""
    if isinstance(error, InvalidMessage):
        return f"Its handler cannot read it: {error}"
    times = "once" if attempts == 1 else f"{attempts} times, the last time"
    text = str(error).strip()
    return f"Its handler failed {times} with {type(error).__name__}" + (f": {text}" if text else ".")
