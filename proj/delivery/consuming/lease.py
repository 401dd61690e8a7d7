"""Lease: lets a task that runs longer than the broker's acknowledgement timeout keep its message.

RabbitMQ closes the channel of a consumer that has held a message for longer than `consumer_timeout`, half an hour by
default, and redelivers all messages of that channel: that of the long task and all others.
Source: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout

So before that the worker moves the message into a queue of its own, `<queue>.lease.<id>`. A message there expires after
a short time, and then goes back to the work queue. The worker renews it until the task has ended, and then deletes the
queue. When the worker dies, the message expires and the task is run again.

A lease is renewed by a new copy. While the broker takes none, as in a memory or disk alarm, the worker takes the old
copy out of the queue and does not acknowledge it: nothing expires that a consumer holds. When the worker dies then, the
broker puts the copy back, where it expires at once.

Since 4.3 the worker sets the timeout of a quorum queue, and a classic queue has none (`consumer_timeout.py`). There a
message is leased only when it is held for longer than the worker expected, or was taken from a quarantine.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.exceptions import NotFound
from celery import bootsteps

from proj.broker.nack import give_back
from proj.delivery.consuming import message_copy
from proj.delivery.consuming.consumer_timeout import ConsumerTimeouts
from proj.delivery.consuming.forwarder import Forwarder, own_connection
from proj.delivery.header_names import LEASE_COPY
from proj.delivery.recovery.rounds import ROUND_S
from proj.delivery.recovery.unblocked_publisher import PublishersBlocked, unblocked_publisher
from proj.queues import QUORUM, lease_queue

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import amqp

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage
    from proj.delivery.recovery.unblocked_publisher import Publish

logger = logging.getLogger(__name__)

#: The share of the broker's timeout after which a message is leased.
SHARE = 0.8
#: How long a lease lasts that is not renewed: a share of the timeout, but some seconds, because a busy worker is late.
LEASE_SHARE = 0.1
SHORTEST_LEASE_S = 10.0
#: Seconds between two checks, from which on they may be a round late.
LONG_S = 10 * ROUND_S
#: Seconds after which the broker deletes a lease's queue that nobody uses, long after its message has left it.
FORGOTTEN_S = 24 * 3600


class Lease:
    """One message that a worker holds in a queue of its own; the message is settled here, and not on its channel."""

    def __init__(self, leases: Leases, message: KeptMessage) -> None:
        """Hold `message`; nothing is done yet."""
        self.home = message.delivery.home
        self.name = lease_queue(self.home)
        self.copies = 0
        self._leases = leases
        self._message = message
        #: On which the copies are held while the broker takes no new one.
        self._holding: amqp.Channel | None = None

    def ack(self) -> None:
        """Delete the message: its task has ended."""
        self._leases.end(self)

    def reject(self, *, requeue: bool) -> None:
        """Delete the message, after it was put back into its queue if it is to be requeued."""
        self._leases.end(self, requeue=requeue)

    def take(self, connection: amqp.Connection, publish: Publish) -> None:
        """Make the lease's queue with a copy in it; on the thread of the leases, as `renew` and `end`.

        Raises:
            Exception: the copy was not published.
        """
        channel = connection.channel()
        channel.queue_declare(
            queue=self.name,
            durable=True,
            auto_delete=False,
            arguments={
                "x-message-ttl": int(self._leases.lease_s * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.home,
                "x-expires": FORGOTTEN_S * 1000,
                # Without these an expired message is dropped when the queue that it goes back to is full.
                "x-queue-type": QUORUM,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        try:
            self._copy(publish, self.name)
        except Exception:  # whatever it was, the queue goes, and the error is raised again
            # The copy may come later, and then goes nowhere.
            channel.queue_delete(queue=self.name)
            raise
        finally:
            channel.close()

    def renew(self, connection: amqp.Connection, publish: Publish) -> None:
        """Put a new copy into the lease's queue, and then take the old one out.

        Raises:
            Exception: the copy was not published.
        """
        self._copy(publish, self.name)
        holding, self._holding = self._holding, None
        if holding is not None and holding.connection is connection:
            holding.basic_ack(0, multiple=True)
            holding.close()
            return
        channel = connection.channel()
        first = channel.basic_get(queue=self.name, no_ack=False)
        if first is not None:
            # When the old copy has expired, this is the new one, and it stays.
            is_new = (first.properties.get("application_headers") or {}).get(LEASE_COPY) == self.copies
            tag: Any = first.delivery_tag
            if is_new:
                give_back(channel, tag)
            else:
                channel.basic_ack(tag)
        channel.close()

    def hold(self, connection: amqp.Connection) -> None:
        """Take all copies out of the lease's queue without acknowledging them, unless they are held already."""
        if self._holding is not None and self._holding.connection is connection:
            return
        self._holding = connection.channel()
        held = 0
        while self._holding.basic_get(queue=self.name, no_ack=False) is not None:
            held += 1
        logger.warning(
            "The lease of task %s cannot be renewed, because the broker takes no messages. The worker holds it (%d "
            "copies).",
            self._message.label,
            held,
            extra={"action": "lease_held", "copies": held},
        )

    def end(self, connection: amqp.Connection, *, requeue: bool) -> None:
        """Put the message back into its queue if it is to be requeued, and delete the lease's queue.

        Where the broker takes no messages, a message that is to be requeued goes back when it expires.
        """
        holding, self._holding = self._holding, None
        if not requeue or self._is_put_back():
            channel = connection.channel()
            try:
                channel.queue_delete(queue=self.name)
                channel.close()
            except NotFound:
                logger.debug("The lease's queue %s was gone.", self.name)
        if holding is not None and holding.connection is connection:
            holding.close()

    def _is_put_back(self) -> bool:
        try:
            with self._leases.publisher() as publish:
                self._copy(publish, self.home)
        except Exception as error:  # noqa: BLE001 the message expires, whatever went wrong
            logger.debug("A leased message was not put back: %r", error)
            return False
        return True

    def _copy(self, publish: Publish, queue: str) -> None:
        self.copies += 1
        copy = message_copy.copy(self._message, queue=queue, headers={LEASE_COPY: self.copies}, ours=False)
        publish(Message(copy.body, **copy.properties), queue)


class Leases:
    """The leases of one worker, over all its connections; on the worker's loop, and on a thread of their own.

    That has a connection which never publishes, so that an alarm does not block it, and publishes over others.
    """

    def __init__(self, consumer: Consumer, timeouts: ConsumerTimeouts, shortest_s: float) -> None:
        """Lease each message that is not acknowledged when most of its timeout is over.

        `shortest_s` is the shortest of the `timeouts`, in seconds.
        """
        self.lease_s = max(SHORTEST_LEASE_S, shortest_s * LEASE_SHARE)
        #: Seconds between two renewals.
        self._renewal_s = self.lease_s / 3
        #: Seconds between two checks: several fit into a lease, and into the rest of the timeout.
        self.look_s = min(self._renewal_s, shortest_s * (1 - SHARE) / 4)
        self.held: dict[str, Lease] = {}
        #: From when each message is counted that was not settled at the last look, by its delivery tag.
        self._since: dict[object, float] = {}
        self._looked = time.monotonic()
        self._consumer = consumer
        self._timeouts = timeouts
        # It is given no copies here.
        self._thread = Forwarder(partial(own_connection, consumer.app), lambda _copy: None)
        #: When the thread was asked last to renew the leases, and when it did.
        self._asked = self._renewed = 0.0

    def stop(self) -> None:
        """End the leases of tasks that have ended, and then the thread."""
        self._thread.stop()

    def publisher(self) -> AbstractContextManager[Publish]:
        """A publisher for one round, on the thread of the leases."""
        return unblocked_publisher(own_connection(self._consumer.app))

    def begin(self) -> None:
        """Begin with a new connection: its messages are counted from now on at the earliest."""
        self._since = {}
        self._looked = time.monotonic()

    def look(self) -> None:
        """Take and renew the leases that are due."""
        now = time.monotonic()
        if self.held and now - self._asked >= self._renewal_s:
            self._asked = now
            self._thread.ask(partial(self._renew, tuple(self.held.values())))
        # Most messages are settled between two looks, and cost nothing. One that is new came after the last look.
        unsettled = dict(self._consumer.held.unsettled)
        self._since = {tag: self._since.get(tag, self._looked) for tag in unsettled}
        self._looked = now
        for tag, message in unsettled.items():
            # The end of its task acknowledges it soon, or the confirm of its copy.
            is_ending = message.is_moving or (message.request is not None and message.request.acknowledged)
            timeout_s = self._timeouts.of(message).lease_within_s
            if not is_ending and timeout_s is not None and now - self._since[tag] >= SHARE * timeout_s:
                self._take(message, timeout_s)
        # The prefetch count does not change while a quarantined message is run alone.
        self.adjust_prefetch()

    def end(self, lease: Lease, *, requeue: bool = False) -> None:
        """End a lease whose task has ended."""
        if self.held.pop(lease.name, None) is not None:
            self._thread.ask(partial(lease.end, requeue=requeue))
            self._consumer.call_soon(self.adjust_prefetch)

    def adjust_prefetch(self) -> None:
        """Let the broker send as many messages as there are slots without a leased one."""
        self._consumer.prefetch.leased = len(self.held)
        self._consumer.prefetch.adjust()

    def _renew(self, leases: tuple[Lease, ...], connection: amqp.Connection) -> None:
        """Renew the leases, and hold those that the broker takes no copies of."""
        if time.monotonic() - self._renewed < self._renewal_s / 2:
            # The thread was late, and has done the next round already.
            return
        renewed = 0
        try:
            with self.publisher() as publish:
                for lease in leases:
                    lease.renew(connection, publish)
                    renewed += 1
        except Exception as error:  # noqa: BLE001 the leases are kept, whatever went wrong
            logger.debug("Leases could not be renewed: %r", error)
            for lease in leases[renewed:]:
                lease.hold(connection)
        self._renewed = time.monotonic()

    def _take(self, message: KeptMessage, timeout_s: float) -> None:
        consumer = self._consumer
        lease = Lease(self, message)

        def take(connection: amqp.Connection) -> None:
            try:
                with self.publisher() as publish:
                    lease.take(connection, publish)
            except PublishersBlocked:
                logger.warning(
                    "Task %s cannot be leased now, because the broker takes no messages. It is tried again.",
                    message.label,
                    extra={"action": "lease_not_taken"},
                )
            else:
                consumer.call_soon(self._taken, lease, message, timeout_s)

        self._thread.start()
        self._thread.ask(take)

    def _taken(self, lease: Lease, message: KeptMessage, timeout_s: float) -> None:
        """Acknowledge the original, unless the task has ended or the broker has taken the message back."""
        if message.acknowledged or message.settlement is not None or not message.can_be_settled:
            self._thread.ask(partial(lease.end, requeue=False))
            return
        if not self.held:
            # It is new: the first renewal is due later. A worker that dies during one may leave two copies.
            self._asked = time.monotonic()
        self.held[lease.name] = lease
        # Before the acknowledgement, or the broker would send another message into a slot that is not free.
        self.adjust_prefetch()
        message.move_settlement(lease)
        logger.warning(
            "Task %s has held its message for %.0f s. The broker takes it back after %.0f s, so the message is leased.",
            message.label,
            SHARE * timeout_s,
            timeout_s,
            extra={"action": "message_leased"},
        )


class TakeLeases(bootsteps.StartStopStep):
    """Sets the consumer timeout where the broker lets it, takes leases, and warns of tasks that may run for longer."""

    requires = ("proj.delivery.consuming.prefetch:AdjustPrefetch",)
    label = "Leases"

    _timeouts: ConsumerTimeouts | None = None
    _leases: Leases | None = None

    def start(self, consumer: Consumer) -> None:
        """Check from now on; again for each connection."""
        timeout_s = consumer.app.conf.proj_consumer_timeout_s
        # An app may have a consumer of its own.
        if not timeout_s or not hasattr(consumer, "forwarder") or not consumer.is_amqp:
            return
        if self._timeouts is None or self._leases is None:
            self._timeouts = ConsumerTimeouts(consumer, timeout_s)
            self._leases = Leases(consumer, self._timeouts, timeout_s)
        self._timeouts.begin()
        self._leases.begin()
        for sentence in self._timeouts.too_long():
            logger.warning("%s", sentence, extra={"action": "time_limit_beyond_consumer_timeout"})
        self._leases.adjust_prefetch()
        # Short intervals have no time for a round.
        begin = consumer.rounds.every if self._leases.look_s >= LONG_S else consumer.timer.call_repeatedly
        begin(self._leases.look_s, self._leases.look)

    def shutdown(self, consumer: Consumer) -> None:  # noqa: ARG002 Celery's signature
        """End with the worker."""
        if self._leases is not None:
            self._leases.stop()
