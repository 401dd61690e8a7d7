"""A lease: a task that takes longer than the broker waits for an acknowledgement keeps its message, and alone.

RabbitMQ closes the channel of a consumer that has had a message for longer than its `consumer_timeout`, half an hour
unless it was told otherwise, and gives all messages of that channel to others: the long task, and those beside it.
Source: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout

So before that the worker moves the message into a queue of its own, `<queue>.lease.<id>`, whose messages go back to the
work queue by themselves after a short time. There the worker renews it until the task has ended, and then deletes the
queue. When the worker dies, the message goes back. Done again is a long task only then.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from amqp.basic_message import Message
from amqp.exceptions import NotFound
from celery import bootsteps, signals

from proj.delivery.consuming import message_copy
from proj.delivery.consuming.forwarder import ANSWER_TIMEOUT_S
from proj.queues import QUORUM, home_queue, lease_queue

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

#: The share of the broker's timeout after which a message is leased.
SHARE = 0.8
#: Of the timeout, how long a lease lasts that is not renewed; at least some seconds, for a busy worker is late.
LEASE_SHARE = 0.1
SHORTEST_LEASE_S = 10.0
#: Seconds after which the broker removes a lease's queue that nobody has touched, long after its message left it.
FORGOTTEN_S = 24 * 3600
#: Which of its copies a message in a lease's queue is.
COPY = "x-proj-lease"


class Lease:
    """One message that a worker holds in a queue of its own; stands in the place of the message's channel."""

    #: What kombu and our forwarder ask a channel for.
    no_ack_consumers: None = None
    is_open = True

    def __init__(self, leases: Leases, message: Any, home: str) -> None:  # noqa: ANN401 kombu's message
        """Hold `message` of the queue `home`; nothing is done yet."""
        self.name = lease_queue(home)
        self.home = home
        self.copies = 0
        self._leases = leases
        self._message = message

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 a channel's signature
        """The task has ended: forget the message."""
        self._leases.end(self)

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 a channel's signature
        """Give the message back, or to the dead letters of its queue: its time is over at once then."""
        self._leases.end(self, give_back=requeue)

    def take(self, connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
        """Make the queue, with a copy in it. On the forwarder's thread, as all below."""
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
                # Without these a message whose time is over is dropped when the queue that it goes back to is full.
                "x-queue-type": QUORUM,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        self._copy(channel, self.name)
        channel.close()

    def renew(self, connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
        """Put a fresh copy in, and then take the old one out."""
        channel = connection.channel()
        self._copy(channel, self.name)
        old = channel.basic_get(queue=self.name, no_ack=False)
        if old is not None:
            mine = (old.properties.get("application_headers") or {}).get(COPY) == self.copies
            # When the old one was late and is gone, this is the fresh one.
            (channel.basic_reject if mine else channel.basic_ack)(old.delivery_tag, mine)
        channel.close()

    def end(self, connection: Any, *, give_back: bool) -> None:  # noqa: ANN401 py-amqp's connection
        """Put the message back where it was, if it is to be, and delete the queue."""
        channel = connection.channel()
        if give_back:
            self._copy(channel, self.home)
        try:
            channel.queue_delete(queue=self.name)
            channel.close()
        except NotFound:
            logger.debug("The lease %s was gone.", self.name)

    def _copy(self, channel: Any, queue: str) -> None:  # noqa: ANN401 py-amqp's channel
        self.copies += 1
        copy = message_copy.copy(self._message, queue=queue, headers={COPY: self.copies}, ours=False)
        channel.basic_publish_confirm(
            Message(copy.body, **copy.properties),
            exchange="",
            routing_key=queue,
            timeout=ANSWER_TIMEOUT_S,
            confirm_timeout=ANSWER_TIMEOUT_S,
        )


class Leases:
    """The leases of one worker, over all its connections."""

    def __init__(self, timeout_s: float) -> None:
        """Take a lease for what is not acknowledged when most of `timeout_s` is over."""
        self.timeout_s = timeout_s
        self.lease_s = max(SHORTEST_LEASE_S, timeout_s * LEASE_SHARE)
        #: Seconds between two looks, several of which fit into a lease and into what is left of the timeout.
        self.look_s = min(self.lease_s / 3, timeout_s * (1 - SHARE) / 4)
        self.held: dict[str, Lease] = {}
        self._received: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._consumer: Any = None

    def use(self, consumer: Any) -> None:  # noqa: ANN401 our Consumer
        """Work for `consumer`, whose connection is new."""
        if self._consumer is None:
            signals.task_received.connect(self._note, weak=False)
        self._consumer = consumer
        self._fit()

    def look(self) -> None:
        """Take and renew what is due; on the worker's loop, as all here."""
        now = time.monotonic()
        for lease in tuple(self.held.values()):
            self._consumer.forwarder.ask(lease.renew)
        for request, since in tuple(self._received.items()):
            if request.acknowledged or isinstance(request.message.channel, Lease):
                del self._received[request]
            elif now - since >= SHARE * self.timeout_s:
                self._take(request.message)
        # A suspect may have had the worker to itself when it was due.
        self._fit()

    def end(self, lease: Lease, *, give_back: bool = False) -> None:
        """The lease's task has ended."""
        if self.held.pop(lease.name, None) is not None:
            self._consumer.forwarder.ask(partial(lease.end, give_back=give_back))
            self._consumer.call_soon(self._fit)

    def _note(self, request: Any = None, **_: Any) -> None:  # noqa: ANN401 Celery's signal
        self._received[request] = time.monotonic()

    def _take(self, message: Any) -> None:  # noqa: ANN401 kombu's message
        consumer = self._consumer
        lease = Lease(self, message, home_queue(consumer.queue_of(message)))

        def take(connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
            lease.take(connection)
            consumer.call_soon(self._taken, lease, message)

        consumer.forwarder.ask(take)

    def _taken(self, lease: Lease, message: Any) -> None:  # noqa: ANN401 kombu's message
        """The copy is safe: acknowledge the original, unless the task has ended or the broker gave it to others."""
        channel = message.channel
        if message.acknowledged or isinstance(channel, Lease) or channel is None or not channel.is_open:
            self._consumer.forwarder.ask(partial(lease.end, give_back=False))
            return
        self.held[lease.name] = lease
        # First, or the broker would send another message into a slot that is not free.
        self._fit()
        channel.basic_ack(message.delivery_tag)
        message.channel = lease
        logger.warning(
            "A task has its message for %.0f s, and the broker takes it back after %.0f s; it is leased.",
            SHARE * self.timeout_s,
            self.timeout_s,
        )

    def _fit(self) -> None:
        """Let the broker give as many messages as slots are free of leased ones."""
        self._consumer.leased = len(self.held)
        self._consumer.fit()


class TakeLeases(bootsteps.StartStopStep):
    """Takes and renews leases while the worker runs, and warns at its start of tasks that will need one."""

    requires = ("proj.delivery.consuming.prefetch:FitWindow",)
    label = "Leases"

    def __init__(self, consumer: Any, **options: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Begin with none."""
        super().__init__(consumer, **options)
        timeout_s = consumer.app.conf.proj_consumer_timeout_s
        self._leases = Leases(timeout_s) if timeout_s else None

    def start(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """Look from now on; with each connection anew."""
        leases = self._leases
        if leases is None or not hasattr(consumer, "forwarder") or consumer.connection.transport.driver_type != "amqp":
            return
        for sentence in too_long(consumer.app.tasks.values(), consumer.app.conf.task_time_limit, leases.timeout_s):
            logger.warning("%s", sentence)
        leases.use(consumer)
        consumer.timer.call_repeatedly(leases.look_s, leases.look)


def too_long(tasks: Iterable[Any], time_limit_s: float | None, timeout_s: float) -> list[str]:
    """A sentence for each task whose declared time limit is beyond the broker's timeout, by name."""
    limits = {task.name: task.time_limit or time_limit_s for task in tasks if task.acks_late}
    return [
        f"{name} may run for {limit_s:g} s by its time limit, and the broker takes a message back after "
        f"{timeout_s:g} s (proj_consumer_timeout_s): it will be leased, and costs the broker more."
        for name, limit_s in sorted(limits.items())
        if limit_s and limit_s > timeout_s
    ]
