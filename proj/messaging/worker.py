"""A worker: a consumer that publishes its results to an output queue."""

from __future__ import annotations

from contextlib import suppress

from proj.errors import NoBroker, Unconfirmed
from proj.messaging.consumer import PILL, Consumer
from proj.messaging.message_queue import MessageQueue


class Worker(Consumer):
    """Override `work`, and call `write` in it: the input is acknowledged only when the output is confirmed."""

    def __init__(
        self,
        name: str,
        input_queue: str,
        output_queue: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        pill: str | None = PILL,
        declare: bool = True,
    ) -> None:
        """Prepare to consume from one queue and publish to the other, also the pill. The rest is as in `Consumer`.

        Raises:
            InvalidSetting: as `Consumer`.
        """
        super().__init__(name, input_queue, url, queue_type=queue_type, pill=pill, declare=declare)
        self.output = MessageQueue(output_queue, url, queue_type=queue_type, pill=pill, declare=declare)

    def start(self) -> None:
        """As `Consumer.start`; the output queue is declared before any work is done.

        Raises:
            Unroutable: one of the queues is missing and not declared.
            QueueMismatch: one of the queues exists with other arguments.
            NoBroker, PublishRefused: as `MessageQueue.start`.
        """
        try:
            # A broker that does not answer yet is waited for later.
            with suppress(NoBroker, Unconfirmed):
                self.output.declare()
            super().start()
        finally:
            self.close()

    def write(self, message: str) -> None:
        """Publish to the output queue, and return when the broker has the message.

        Raises:
            InvalidMessage, NoBroker, QueueMismatch, PublishRefused, Unconfirmed: as `MessageQueue.publish`.
        """
        self.output.publish(message)

    def when_last(self) -> None:
        """Publish the pill to the output queue; called when the last worker of the input queue ends."""
        self.output.halt()

    def close(self) -> None:
        """Disconnect from both queues."""
        super().close()
        self.output.close()
