"""A worker: a consumer that writes what it makes of each message to an output queue."""

from __future__ import annotations

from contextlib import suppress

from proj.errors import NoBroker, Unconfirmed
from proj.messaging.consumer import PILL, Consumer
from proj.messaging.message_queue import MessageQueue


class Worker(Consumer):
    """Override `work`, and call `write` in it: the input is acknowledged only when the broker has the output."""

    def __init__(
        self,
        name: str,
        input_queue: str,
        output_queue: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        pill: str | None = PILL,
    ) -> None:
        """Consume from one queue and write to the other, to which the pill goes on; all else as in `Consumer`.

        Raises:
            InvalidSetting: as `Consumer`.
        """
        super().__init__(name, input_queue, url, queue_type=queue_type, pill=pill)
        self.output = MessageQueue(output_queue, url, queue_type=queue_type, pill=pill)

    def start(self) -> None:
        """As a consumer's; an output queue that is not as it must be is told before any work is done.

        Raises:
            QueueMismatch: one of the queues exists with other arguments.
            and what `MessageQueue.start` raises.
        """
        try:
            # A broker that is away is waited for.
            with suppress(NoBroker, Unconfirmed):
                self.output.declare()
            super().start()
        finally:
            self.close()

    def write(self, message: str) -> None:
        """Publish to the output queue, and return when the broker has it.

        Raises:
            what `MessageQueue.publish` raises.
        """
        self.output.publish(message)

    def when_last(self) -> None:
        """Hand the pill on to the output queue, when the last worker of this stage ends."""
        self.output.halt()

    def close(self) -> None:
        """Disconnect from both queues."""
        super().close()
        self.output.close()
