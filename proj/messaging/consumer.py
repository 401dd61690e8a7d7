"""A consumer with a name, which works on the messages of its input queue until the poison pill."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from proj.messaging.message_queue import MessageQueue

logger = logging.getLogger(__name__)

#: The tutorials' poison pill.
PILL = "HALT"


class Consumer(ABC):
    """Override `work`; Python refuses to make a consumer of a class without it (TypeError).

    One consumer may run in a process or thread, and any number may share the input queue.
    """

    def __init__(
        self,
        name: str,
        input_queue: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        pill: str | None = PILL,
        declare: bool = True,
    ) -> None:
        """Prepare to consume; nothing is connected yet.

        Args:
            name: for people: log lines and the thread have it.
            input_queue: the name of the queue.
            url: of the broker; by default CELERY_BROKER_URL.
            queue_type: quorum or classic; by default PROJ_QUEUE_TYPE.
            pill: the text that ends all consumers of the queue, or None for no such text. A `MessageQueue` has none by
                default, so make the one that is to halt this consumer with the same pill.
            declare: whether queues are declared, as in `MessageQueue`.

        Raises:
            InvalidSetting: an argument or an environment variable has a value that is not allowed.
        """
        self.name = name
        self.input = MessageQueue(input_queue, url, queue_type=queue_type, pill=pill, declare=declare)
        self.input.register(lambda message: self.work(message.text), when_last=self.when_last)

    @abstractmethod
    def work(self, message: str) -> None:
        """Work on one message, which is acknowledged when this returns; a handler as in `MessageQueue.register`."""

    def when_last(self) -> None:  # noqa: B027 most consumers do nothing then, so it is not abstract
        """Called when the pill has ended all other consumers of the input queue."""

    def start(self) -> None:
        """Work until the pill, or `stop`.

        Raises:
            NoBroker, QueueMismatch, PublishRefused: as `MessageQueue.start`.
        """
        logger.info("%s starts.", self.name, extra={"action": "consumer_started"})
        try:
            self.input.start()
        finally:
            self.close()
        logger.info("%s halted.", self.name, extra={"action": "consumer_halted"})

    def stop(self) -> None:
        """Let `start` end after the current message; as `MessageQueue.stop`."""
        self.input.stop()

    def close(self) -> None:
        """Disconnect."""
        self.input.close()
