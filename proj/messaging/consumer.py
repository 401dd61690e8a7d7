"""A consumer with a name: works on the messages of its input queue until the pill comes."""

from __future__ import annotations

import logging

from proj.messaging.message_queue import MessageQueue

logger = logging.getLogger(__name__)

#: The tutorials' poison pill.
PILL = "HALT"


class Consumer:
    """Override `work`. One may run per process or thread, and any number share the input queue."""

    def __init__(
        self,
        name: str,
        input_queue: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        pill: str | None = PILL,
    ) -> None:
        """Consume from the queue of that name; all else as in `MessageQueue`.

        Raises:
            InvalidSetting: one of them, or of the variables, is not as it must be.
        """
        self.name = name
        self.input = MessageQueue(input_queue, url, queue_type=queue_type, pill=pill)
        self.input.register(lambda message: self.work(message.text), when_last=self.when_last)

    def work(self, message: str) -> None:
        """Do the work of one message, which is acknowledged when this returns; as `MessageQueue.register`'s handler."""
        raise NotImplementedError

    def when_last(self) -> None:
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
