"""The dead-letter queue: read without losing a letter, emptied on request, and filled again from an export."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.exceptions import AMQPError, NotFound, ResourceLocked

from proj.broker.connection import connected, count_queue, losses, open_channel
from proj.broker.nack import give_all_back
from proj.broker.queue_depths import QueueDepths
from proj.broker.version import BrokerVersion
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.dead_letters.confirmed import publish_to_queue
from proj.delivery.dead_letters.delivery_limit import check_delivery_limit
from proj.delivery.dead_letters.headers import copy_properties, requeue_headers
from proj.delivery.dead_letters.letter import DeadLetter, read_letter
from proj.delivery.header_names import REASON, UNREADABLE
from proj.delivery.unreadable_properties import tolerate
from proj.errors import DeadLettersNotRead, NoDeadLetters, ProjError
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery
    from kombu import Connection

    from proj.broker.management_api import Management

#: Seconds to wait while another reader has the queue.
LOCK_TIMEOUT_S = 10.0
#: Letters that are read at a time: AMQP's prefetch count is a 16-bit number.
MOST = 65_535

_LOCK_RETRY_S = 0.2
_COUNT_RETRY_S = 0.02
#: Seconds without a letter after which reading ends, though fewer letters came than were counted. A broker whose disk
#: is busy delivers nothing for some seconds.
_PATIENCE_S = 10.0
#: Seconds that the letters of the last reader may take to return.
_RETURN_S = 3.0


@dataclass(frozen=True, kw_only=True)
class UnackedLetter:
    """A letter that was delivered and not acknowledged: it returns to its place unless it is requeued or discarded."""

    letter: DeadLetter
    body: bytes
    properties: dict[str, Any]
    #: AMQP's delivery tag.
    tag: int


class DeadLetterQueue(Service):
    """Reads the letters of one queue. Every letter that is neither requeued nor discarded returns when it stops.

    Letters are read as unacknowledged deliveries, so two readers at a time would each see only some of them. An
    exclusive queue beside the dead-letter queue is the lock: it ends with the connection of its owner.

    The letters return by `basic.nack`, which RabbitMQ 4.3 and later do not count as a delivery; they count a look that
    is killed. Earlier versions count every look. A queue with a low delivery limit is not read, because the broker
    would drop its letters: on 4.3 at the first look those that keep a higher count of the queue they were in before.
    """

    def __init__(
        self,
        app: Celery,
        *,
        name: str | None = None,
        management: Management | None = None,
        at_most: int | None = None,
        reads: bool = True,
    ) -> None:
        """Take the queue.

        Args:
            app: knows the broker, and its dead-letter queue.
            name: another dead-letter queue than the app's.
            management: tells the delivery limit; the management API on the broker's host unless it is given.
            at_most: read only so many letters, the oldest.
            reads: whether letters are read; where they are only published, the delivery limit does not matter.
        """
        self.name = name or dead_letter_queue(app)
        # No heartbeat: nothing would send it while the command waits for a person's answer.
        self._address = app.connection_for_read(heartbeat=0)
        self._vhost = str(self._address.virtual_host or "/")
        self._management = management or QueueDepths(app).management
        self._reads = reads
        self._at_most = min(at_most or MOST, MOST)
        self._resources = contextlib.ExitStack()
        self._received: deque[Message] = deque()
        self._consumer_tag: str | None = None
        self._is_stopping = False
        #: Whether the connection was lost, so that the last acknowledgements may not have reached the broker.
        self.is_lost = False
        #: Why it is not known whether the broker drops letters for being read, for people; None when it does not.
        self.warning: str | None = None
        #: Letters in the queue at the start.
        self.total = 0
        #: How many of these are read, the oldest. Letters that return while it reads are not read again.
        self.count = 0

    def start(self) -> None:
        """Connect, wait until no other reader has the queue, and check its delivery limit.

        Raises:
            NoBroker: no broker answers.
            NoDeadLetters: there is no such queue.
            DeadLettersNotRead: another reader had the queue for `LOCK_TIMEOUT_S`, or its delivery limit is low.
        """
        self._connection: Connection = self._resources.enter_context(connected(self._address))
        # celery-types does not list all that is used of it.
        transport: Any = self._connection.connection
        tolerate(transport)
        self._lock()
        self._reading = open_channel(self._connection)
        try:
            self.total = self._count_letters()
        except NotFound as error:
            raise NoDeadLetters(self.name) from error
        self.count = min(self.total, self._at_most)
        self._version = BrokerVersion.read(transport.server_properties.get("version"))
        if self._reads:
            self.warning = check_delivery_limit(
                self.name, version=self._version, management=self._management, vhost=self._vhost
            )
        # On a connection of its own: one that reads would receive more letters while it waits for a confirm.
        self._publishing = open_channel(self._resources.enter_context(connected(self._address.clone())))

    def stop(self) -> None:
        """Return all letters that are not settled, in their order, and let the next reader in."""
        # Letters that arrive until the connection is closed are dropped here, and return too.
        self._is_stopping = True
        # Without the connection the broker has taken them back by itself.
        try:
            with self._resources:
                self._give_back()
        except losses(self._address):
            self.is_lost = True

    def __iter__(self) -> Iterator[UnackedLetter]:
        """The letters that were there at the start, the oldest first. Only one body is in memory at a time.

        They are delivered to one consumer, because a quorum queue takes back in any order what several consumers had,
        and each `basic.get` is a consumer.
        """
        if self.count:
            self._reading.basic_qos(prefetch_size=0, prefetch_count=self._at_most, a_global=False)
            self._consumer_tag = self._reading.basic_consume(queue=self.name, callback=self._receive)
        for _ in range(self.count):
            while not self._received and self._wait_for_letter():
                pass
            if not self._received:
                return
            message = self._received.popleft()
            yield UnackedLetter(
                letter=read_letter(message),
                body=message.body if isinstance(message.body, bytes) else str(message.body).encode(),
                properties=message.properties,
                tag=message.delivery_info["delivery_tag"],
            )

    def requeue(self, unacked: UnackedLetter, *, queue: str | None = None) -> None:
        """Publish the letter to the queue it came from, or to `queue`, then acknowledge it here.

        If that is interrupted, the letter is in both queues.

        Raises:
            ProjError: the letter does not say where it came from, or that queue does not exist or refuses it.
        """
        letter = unacked.letter
        target = queue or letter.queue
        if target is None:
            raise ProjError(f"Letter {letter.id} does not say which queue it came from; name one with --to.")
        headers = unacked.properties.get("application_headers") or {}
        # A letter of our workers has a reason, and properties that can be written.
        if UNREADABLE in headers and REASON not in headers:
            raise ProjError(f"The properties of letter {letter.id} cannot be read, so it cannot be published again.")
        properties = {**unacked.properties, "application_headers": requeue_headers(headers)}
        self.publish(letter.id, unacked.body, properties, target)
        self._reading.basic_ack(unacked.tag)

    def discard(self, tag: int) -> None:
        """Remove the letter that was delivered with this tag for ever."""
        self._reading.basic_ack(tag)

    def publish(self, letter_id: str, body: bytes, properties: dict[str, Any], queue: str) -> None:
        """Publish a message to a queue, and return when the broker has confirmed it.

        Raises:
            ProjError: the queue does not exist or refuses it.
        """
        message = Message(body, **copy_properties(properties))
        try:
            publish_to_queue(self._publishing, message, queue, what=f"letter {letter_id}")
        except ProjError as error:
            raise ProjError(f"{error.message} Letter {letter_id} stays where it is.") from error

    def _count_letters(self) -> int:
        """The letters that are ready, once those of the last reader have returned.

        A quorum queue learns some time after its lock is free that the last reader's channel is closed. Until then it
        still counts that consumer. A consumer without our lock is not waited for any longer.
        """
        end = time.monotonic() + _RETURN_S
        while (counted := count_queue(self._reading, self.name)).consumer_count and time.monotonic() < end:
            time.sleep(_COUNT_RETRY_S)
        return counted.message_count

    def _give_back(self) -> None:
        # Where they count all the same, closing keeps the order better: 3.10 mixed 2,000 letters that were nacked.
        if self._consumer_tag is None or self._version.counts_nacks:
            return
        # First the consumer ends, or it would receive them again.
        self._reading.basic_cancel(self._consumer_tag)
        give_all_back(self._reading)
        # Its answer says that the broker has taken them.
        self._reading.close()

    def _receive(self, message: Message) -> None:
        if not self._is_stopping:
            self._received.append(message)

    def _wait_for_letter(self) -> bool:
        """Whether anything came in time. If not, letters have expired or a consumer without our lock has them."""
        try:
            self._connection.drain_events(timeout=_PATIENCE_S)
        except TimeoutError:
            return False
        return True

    def _lock(self) -> None:
        end = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            channel = open_channel(self._connection)
            try:
                channel.queue_declare(queue=f"{self.name}.reader", exclusive=True, auto_delete=True)
            except ResourceLocked as error:
                if time.monotonic() >= end:
                    raise DeadLettersNotRead(
                        f"Another reader has had {self.name} for {LOCK_TIMEOUT_S:g} s; try again when it has ended."
                    ) from error
                time.sleep(_LOCK_RETRY_S)
            except AMQPError:
                # The user may not make such a queue. Then people must take turns themselves.
                return
            else:
                return
