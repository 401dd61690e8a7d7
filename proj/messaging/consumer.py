"""A consumer with a name: works on the messages of its input queue until the pill comes."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from proj.messaging.message_queue import MessageQueue

logger = logging.getLogger(__name__)

#: The tutorials' poison pill.
PILL = "HALT"


class Consumer(ABC):
    """Override `work`: Python makes no consumer of a class without it (TypeError).

    One may run per process or thread, and any number share the input queue.
    """

    def __init__(
        self,
        name: str,
        input_queue: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        pill: str | None = PILL,
    ) -> None:
        """Consume from the queue of that name.

        Args:
            name: for people: it is in the log and names the thread.
            input_queue: the name of the queue.
            url: of the broker; CELERY_BROKER_URL unless said.
            queue_type: quorum or classic; PROJ_QUEUE_TYPE unless said.
            pill: the text that ends all consumers of the queue; None for no such text. A `MessageQueue` has none
                unless said, so one that is to halt this consumer is made with the same.

        Raises:
            InvalidSetting: one of them, or of the variables, is not as it must be.
        """
        self.name = name
        self.input = MessageQueue(input_queue, url, queue_type=queue_type, pill=pill)
        self.input.register(lambda message: self.work(message.text), when_last=self.when_last)

    @abstractmethod
    def work(self, message: str) -> None:
        """Do the work of one message, which is acknowledged when this returns; as `MessageQueue.register`'s handler."""

    def when_last(self) -> None:  # noqa: B027 for most of them nothing follows
        """Do what follows when the pill has ended all consumers of the input queue."""

    def start(self) -> None:
        """Work until the pill, or `stop`.

        Raises:
            what `MessageQueue.start` raises.
        """
        logger.info("%s starts.", self.name)
        try:
            self.input.start()
        finally:
            self.close()
        logger.info("%s halted.", self.name)

    def stop(self) -> None:
        """Let `start` end when the message in hand is done; as `MessageQueue.stop`."""
        self.input.stop()

    def close(self) -> None:
        """Disconnect."""
        self.input.close()
