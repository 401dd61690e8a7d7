"""Consumer timeout: for how long the broker lets the worker hold a message of each queue, and who says so.

Before RabbitMQ 4.3 the broker's configuration says it for all queues. Since then only quorum queues have a timeout, and
the argument `x-consumer-timeout` of a consumer goes before a policy and the configuration. So the worker asks for a
timeout that is longer than its longest task may run.
Source: https://www.rabbitmq.com/release-information, 4.3.0; tried on 4.3.6
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from proj.broker.declaration import queue_type
from proj.broker.version import BrokerVersion
from proj.queues import QUORUM, is_broadcast_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import kombu
    from celery.app.task import Task

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

#: The argument of a consumer, and of a queue, in milliseconds.
ARGUMENT = "x-consumer-timeout"
#: Seconds that the worker asks for when a task has no time limit. A task that runs for most of it is leased. A message
#: of a worker that hangs and keeps its connection comes back after it.
UNLIMITED_S = 24 * 3600.0
#: The most that the worker asks for. RabbitMQ 4.3.6 takes 2^40 ms. At 2^48 ms no timer is that long, and the process of
#: the queue crashes.
LONGEST_S = 365 * 24 * 3600.0
#: What the worker asks for, as a multiple of the longest time that it needs. A message is leased after four fifths.
ROOM = 1.5


class Setter(Enum):
    """Who has set a timeout, by the name of the setting."""

    BROKER = "proj_consumer_timeout_s"
    WORKER = f"{ARGUMENT} of the worker"
    APP = f"{ARGUMENT} of the queue"


@dataclass(frozen=True)
class Timeout:
    """The timeout of the messages of one queue."""

    setter: Setter
    #: After how many seconds the broker takes a message back; None for never.
    seconds: float | None

    @property
    def lease_within_s(self) -> float | None:
        """Seconds within which a message must be leased; None for never, also where the app itself has set a timeout.

        Its timeout says when the message shall come back.
        """
        return None if self.setter is Setter.APP else self.seconds

    def consequence(self, queue: str) -> str:
        """What becomes of a message of the queue that is held for longer, as the end of a sentence."""
        if self.setter is Setter.APP:
            return (
                f"the broker takes a message of the queue {queue} back after {self.seconds:g} s ({self.setter.value}). "
                "Then the task is run again."
            )
        return (
            f"the broker takes its message back after {self.seconds:g} s ({self.setter.value}). Its message will be "
            "leased, which costs the broker more."
        )


class ConsumerTimeouts:
    """The timeouts of the queues that one worker consumes, which it sets where the broker lets it."""

    def __init__(self, consumer: Consumer, broker_s: float) -> None:
        """Take `broker_s` as the timeout that the broker's configuration has."""
        self._consumer = consumer
        self._broker_s = broker_s
        self._broker = Timeout(Setter.BROKER, broker_s)
        #: By the name of the queue; of this connection, because a queue may be made anew with another type.
        self.by_queue: dict[str, Timeout] = {}

    def begin(self) -> None:
        """Find the timeouts of a new connection, before anything is consumed over it."""
        channel: Any = self._consumer.channel
        version = BrokerVersion.read(channel.connection.server_properties.get("version"))
        queues = self._queues()
        if version.lets_consumers_set_timeout:
            self.by_queue = {name: self._timeout(queue) for name, queue in queues.items()}
            channel.basic_consume = partial(self._consume, channel.basic_consume)
        else:
            self.by_queue = dict.fromkeys(queues, self._broker)

    def of(self, message: KeptMessage) -> Timeout:
        """The timeout of a message; one of a quarantine was taken by `basic.get`, which has no arguments."""
        return self.by_queue.get(message.delivery.queue, self._broker)

    def too_long(self) -> list[str]:
        """A sentence for each task that may run for longer than the timeout of a queue."""
        return too_long(self._consumer.app.tasks.values(), self._time_limit_s, self.by_queue)

    @property
    def _time_limit_s(self) -> float | None:
        """The time limit of tasks without one of their own: the worker's option, or the app's setting."""
        controller: Any = self._consumer.controller
        limit: float | None = controller.time_limit
        return limit

    def _consume(
        self, stock: Callable[..., str], *, queue: str, arguments: Mapping[str, Any] | None = None, **options: object
    ) -> str:
        """As `amqp.Channel.basic_consume`, with the timeout that the worker sets."""
        # A queue may have been added by `celery control add_consumer`.
        if queue not in self.by_queue:
            self.by_queue[queue] = self._timeout(self._queues()[queue])
        timeout = self.by_queue[queue]
        if timeout.setter is Setter.WORKER and timeout.seconds:
            arguments = {**(arguments or {}), ARGUMENT: int(timeout.seconds * 1000)}
        return stock(queue=queue, arguments=arguments, **options)

    def _timeout(self, queue: kombu.Queue) -> Timeout:
        if (own := own_timeout(queue)) is not None:
            return own
        found = self._type(queue)
        if found == QUORUM:
            return Timeout(Setter.WORKER, self._needed_s())
        return self._broker if found is None else Timeout(Setter.BROKER, None)

    def _type(self, queue: kombu.Queue) -> str | None:
        """The queue's type: as declared where the broker has agreed, else as the broker says.

        It agrees to a classic queue where a quorum queue exists, if it is configured for that
        (`quorum_queue.property_equivalence.relaxed_checks_on_redeclaration`).
        """
        # celery-types lacks `no_declare`.
        is_declared = not getattr(queue, "no_declare", False)
        declared = (queue.queue_arguments or {}).get("x-queue-type")
        if is_declared and (declared == QUORUM or is_broadcast_queue(queue.name)):
            return str(declared)
        channel: Any = self._consumer.channel
        return queue_type(channel.connection, queue.name)

    def _needed_s(self) -> float:
        consumer = self._consumer
        limits = [task.time_limit or self._time_limit_s for task in consumer.app.tasks.values()]
        return needed_s(limits, messages=consumer.prefetch_multiplier, least_s=self._broker_s)

    def _queues(self) -> dict[str, kombu.Queue]:
        task_consumer = self._consumer.task_consumer
        return {queue.name: queue for queue in task_consumer.queues} if task_consumer else {}


def own_timeout(queue: kombu.Queue) -> Timeout | None:
    """The timeout that the app has set for its queue or the queue's consumers; None when it has set none."""
    for arguments in (queue.consumer_arguments, queue.queue_arguments):
        milliseconds = (arguments or {}).get(ARGUMENT)
        if milliseconds is not None:
            # The broker refuses anything but a number.
            return Timeout(Setter.APP, milliseconds / 1000 if isinstance(milliseconds, int) else None)
    return None


def needed_s(limits_s: Iterable[float | None], *, messages: int, least_s: float) -> float:
    """For how many seconds a worker may hold a message, with room, so that it needs no lease.

    Args:
        limits_s: the time limit of each task in seconds; None for a task without one.
        messages: messages for each slot, the last of which waits for the others; 0 is without limit.
        least_s: the shortest timeout, whatever the tasks need.
    """
    limits = list(limits_s)
    longest = max((limit for limit in limits if limit), default=0.0) * ROOM * max(1, messages)
    if not messages or not all(limits):
        longest = max(longest, UNLIMITED_S)
    return min(max(longest, least_s), LONGEST_S)


def too_long(tasks: Iterable[Task[Any, Any]], time_limit_s: float | None, timeouts: Mapping[str, Timeout]) -> list[str]:
    """A sentence for each task whose time limit is beyond the timeout of a queue, sorted by the task's name."""
    limits = {task.name: task.time_limit or time_limit_s for task in tasks if task.acks_late}
    # The same sentence for several queues is said once.
    sentences = {
        f"{name} may run for {limit_s:g} s (its time limit), and {timeout.consequence(queue)}": None
        for name, limit_s in sorted(limits.items())
        for queue, timeout in timeouts.items()
        if limit_s and timeout.seconds is not None and limit_s > timeout.seconds
    }
    return list(sentences)
