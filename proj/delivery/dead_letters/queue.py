"""The dead-letter queue: looked into without disturbing it, and emptied without losing any of it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.exceptions import AMQPError, MessageNacked, NotFound, ResourceLocked

from proj.broker.connection import connected
from proj.delivery.dead_letters.letter import DeadLetter, carried, dead_letter, dead_letter_queue, revived
from proj.delivery.header_names import REASON, UNREADABLE
from proj.delivery.unreadable_properties import tolerate
from proj.errors import NoDeadLetters, ProjError
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

#: Seconds to wait for another who looks: what they hold is not in the queue for us.
LOCK_TIMEOUT_S = 10.0
#: Seconds that the broker may take to confirm one letter.
CONFIRM_TIMEOUT_S = 30.0

#: Letters that are taken at a time: more than AMQP can count cannot be without acknowledgement.
MOST = 65_535

_RETRY_S = 0.2
#: Seconds without a letter after which none is expected, though fewer came than were counted.
_PATIENCE_S = 3.0


@dataclass(frozen=True, kw_only=True)
class HeldLetter:
    """A letter that is taken from the queue and goes back to its place unless it is requeued or discarded."""

    letter: DeadLetter
    body: bytes
    properties: dict[str, Any]
    tag: int


class DeadLetters(Service):
    """The letters of one queue, for one who looks at a time; whatever is not settled returns when it stops.

    They are taken without acknowledgement, so a second one who looked at the same time would see a queue
    with holes. An exclusive queue beside it is the lock: it ends with our connection, however that ends.
    """

    def __init__(self, app: Celery, *, queue: str | None = None, at_most: int | None = None) -> None:
        """Take the app's own dead-letter queue unless another `queue` is named, and only its `at_most` oldest."""
        self.queue = queue or dead_letter_queue(app)
        # Without a heartbeat, which nobody would send while a person is asked.
        self._address = app.connection_for_read(heartbeat=0)
        self._resources = contextlib.ExitStack()
        self._at_most = min(at_most or MOST, MOST)
        self._came: deque[Any] = deque()
        self._is_over = False
        self._connection: Any = None
        self._taker: Any = None
        self._publisher: Any = None
        self.vhost = str(self._address.virtual_host or "/")
        #: The broker's, such as "4.1.2".
        self.version = ""
        #: Letters that were there at the start.
        self.total = 0
        #: Of these, the oldest, which it looks at: those that come back while it works are not seen again.
        self.count = 0

    def start(self) -> None:
        """Connect and wait until nobody else looks.

        Raises:
            NoBroker: no broker answers.
            NoDeadLetters: there is no such queue.
            ProjError: someone else has been looking for `LOCK_TIMEOUT_S`.
        """
        self._connection = self._resources.enter_context(connected(self._address))
        tolerate(self._connection.connection)
        self.version = str(self._connection.connection.server_properties.get("version", ""))
        self._lock()
        self._taker = self._connection.channel()
        try:
            self.total = self._taker.queue_declare(queue=self.queue, passive=True).message_count
        except NotFound as error:
            raise NoDeadLetters(self.queue) from error
        self.count = min(self.total, self._at_most)
        # On a connection of its own: who waits for a confirm here would be given letter after letter meanwhile.
        self._publisher = self._resources.enter_context(connected(self._address.clone())).channel()

    def stop(self) -> None:
        """Give back what was taken, in its order, and let the next one look."""
        # What is still on its way is read, and dropped, until the broker says goodbye.
        self._is_over = True
        self._resources.close()

    def __iter__(self) -> Iterator[HeldLetter]:
        """Each letter that was there at the start, oldest first; only one body is in memory at a time.

        They come by one consumer: what several took, as each `basic.get` is one, a quorum queue takes back
        in any order.
        """
        came = self._came
        if self.count:
            self._taker.basic_qos(0, self._at_most, False)  # noqa: FBT003 AMQP's own order: bytes, messages, whole connection
            self._taker.basic_consume(queue=self.queue, callback=self._receive)
        for _ in range(self.count):
            while not came and self._arrives():
                pass
            if not came:
                return
            message = came.popleft()
            yield HeldLetter(
                letter=dead_letter(message),
                body=message.body if isinstance(message.body, bytes) else str(message.body).encode(),
                properties=message.properties,
                tag=message.delivery_tag,
            )

    def requeue(self, held: HeldLetter, *, queue: str | None = None) -> None:
        """Send the letter to where it came from, or to `queue`, and then let go of it here.

        In that order: ended in between, the letter is in both.

        Raises:
            ProjError: nothing tells where it came from, that queue is gone, or it takes no more.
        """
        there = queue or held.letter.queue
        if there is None:
            raise ProjError(
                f"Nothing in {held.letter.id} tells where it came from; --to names the queue it shall go to."
            )
        headers = held.properties.get("application_headers") or {}
        # A worker that dead-lettered such a message gave it a reason, and properties that can be sent.
        if UNREADABLE in headers and REASON not in headers:
            raise ProjError(f"The properties of {held.letter.id} cannot be read, so they cannot be sent again.")
        self.publish(held.letter.id, held.body, {**held.properties, "application_headers": revived(headers)}, there)
        self._taker.basic_ack(held.tag)

    def discard(self, tag: int) -> None:
        """Let go for ever of the letter that was held under this tag."""
        self._taker.basic_ack(tag)

    def publish(self, name: str, body: bytes, properties: dict[str, Any], queue: str) -> None:
        """Put a message into a queue and return when the broker has it for good.

        Raises:
            ProjError: the queue is gone, or it takes no more.
        """
        returned: list[object] = []
        self._publisher.events["basic_return"].add(lambda *details: returned.append(details))
        try:
            self._publisher.basic_publish_confirm(
                Message(body, **carried(properties)),
                exchange="",
                routing_key=queue,
                mandatory=True,
                confirm_timeout=CONFIRM_TIMEOUT_S,
            )
        except MessageNacked as error:
            raise ProjError(f"The queue {queue} refuses {name}, as a full one does; it stays where it is.") from error
        finally:
            self._publisher.events["basic_return"].clear()
        if returned:
            raise ProjError(f"There is no queue {queue} for {name}; it stays where it is.")

    def _receive(self, message: Any) -> None:  # noqa: ANN401 py-amqp's message has no type
        if not self._is_over:
            self._came.append(message)

    def _arrives(self) -> bool:
        """Whether anything comes; if not, someone without our manners was faster, or letters have expired."""
        try:
            self._connection.drain_events(timeout=_PATIENCE_S)
        except TimeoutError:
            return False
        return True

    def _lock(self) -> None:
        end = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            channel = self._connection.channel()
            try:
                channel.queue_declare(queue=f"{self.queue}.reader", exclusive=True, auto_delete=True)
            except ResourceLocked as error:
                if time.monotonic() >= end:
                    raise ProjError(
                        f"Someone else has been looking into {self.queue} for {LOCK_TIMEOUT_S:g} s; "
                        "try again when they are done."
                    ) from error
                time.sleep(_RETRY_S)
            except AMQPError:
                # No permission for such a queue: then people must take turns themselves.
                return
            else:
                return
