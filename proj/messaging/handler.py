"""What becomes of a message: its handler is tried, and then it is acknowledged or a dead letter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from proj.errors import InvalidMessage
from proj.messaging.dead_lettering import PASSING, bury

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.messaging.message import Message
    from proj.messaging.publisher import Publisher

logger = logging.getLogger(__name__)

#: Seconds before a message is tried for the second time; then twice as many each time, up to the longest.
RETRY_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Handling:
    """Calls a handler with one message after the other, here and now.

    A message that failed is tried again in its place, and not given back: so the order stays, and a pill behind it
    cannot overtake it.
    """

    def __init__(
        self,
        handler: Callable[[Message], object],
        *,
        queue: str,
        publisher: Publisher,
        attempts: int,
        acknowledge: bool,
        pause: Callable[[float], bool],
    ) -> None:
        """Handle messages of the queue of that name.

        Args:
            handler: does the work.
            queue: where a dead letter goes when it is requeued.
            publisher: publishes dead letters.
            attempts: how often a message is tried.
            acknowledge: whether it is acknowledged when the handler has returned.
            pause: waits so many seconds, and says whether to go on.
        """
        self._handler = handler
        self._queue = queue
        self._publisher = publisher
        self._attempts = attempts
        self._acknowledge = acknowledge
        self._pause = pause

    def do(self, message: Message) -> None:
        """Try it until it is done, or cannot be; it is left unsettled when it is to stop in between."""
        attempts, pause_s = 0, RETRY_PAUSE_S
        while True:
            try:
                self._handler(message)
            except PASSING as error:
                logger.warning("A message of the queue %r is tried again: %s", self._queue, error)
            except Exception as error:
                attempts += 1
                logger.exception("The handler of the queue %r failed, %d of %d.", self._queue, attempts, self._attempts)
                if message.settled:
                    return
                # What cannot be read will not be readable another time.
                if attempts >= self._attempts or isinstance(error, InvalidMessage):
                    why = _sentence(error, attempts)
                    bury(message, why, attempts=attempts, queue=self._queue, publisher=self._publisher)
                    return
            else:
                if self._acknowledge:
                    message.ack()
                return
            if not self._pause(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _sentence(error: Exception, attempts: int) -> str:
    """Why it was given up."""
    if isinstance(error, InvalidMessage):
        return f"It cannot be worked on: {error}"
    times = "once" if attempts == 1 else f"{attempts} times"
    words = str(error).strip()
    return f"Its handler failed {times}, last by {type(error).__name__}" + (f": {words}" if words else ".")
