"""The worker's consumers at the broker: opened and cancelled without waiting for the broker's answers.

A prefetch count belongs to one consumer and never changes, on quorum queues and on every queue of RabbitMQ 4.3. So
another count takes another consumer. All is written to one channel, which keeps the order, so no answer is needed.
Source: https://www.rabbitmq.com/docs/consumer-prefetch
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amqp import spec

from proj.delivery.recovery.consumer_tags import active_tags, consume, new_tag
from proj.queues import is_broadcast_queue, is_deleted_without_consumers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import kombu
    from kombu import Queue

    from proj.delivery.consuming.consumer import Consumer

#: Consumers of one queue, after which they are replaced by one.
MOST_CONSUMERS = 8
#: Seconds until the next of several queues is consumed from, when the one before had no message. Long tasks come from
#: one queue at a time, because each consumer has a prefetch count of its own.
NEXT_QUEUE_S = 0.01
#: Tags of cancelled consumers of which the queue is known: some of their messages are still on their way.
_TAGS_KEPT = 1000


@dataclass(kw_only=True)
class Source:
    """One queue, and the worker's consumers of it."""

    queue: Queue
    #: The prefetch count of each consumer, by its tag.
    consumers: dict[str, int] = field(default_factory=dict)
    #: The sum of these counts.
    prefetch: int = 0
    #: Messages that came over these consumers and are not settled.
    unsettled: int = 0
    #: When the broker was told that it may send more, having sent all; None when a message has come since.
    asked_at: float | None = None

    @property
    def credit(self) -> int:
        """How many messages the broker may still send."""
        return self.prefetch - self.unsettled

    def received(self, tag: str) -> float | None:
        """A message came over the consumer with this tag; one that was cancelled meanwhile does not count.

        Returns:
            When the broker was asked for it, if it is the first one since it had sent all; otherwise None.
        """
        if tag not in self.consumers:
            return None
        self.unsettled += 1
        asked_at, self.asked_at = self.asked_at, None
        return asked_at

    def settled(self, tag: str, now: float) -> None:
        """A message that came over that consumer is settled."""
        if tag in self.consumers:
            if self.credit == 0:
                self.asked_at = now
            self.unsettled -= 1


class Sources:
    """The queues of one connection from which messages may be given back."""

    def __init__(self) -> None:
        """Begin without any."""
        self._sources: dict[str, Source] = {}
        self._task_consumer: kombu.Consumer | None = None
        self._names: dict[str, str] = {}
        self._cancelled: deque[str] = deque()
        self._next = 0
        self._prefetch = 0

    def __iter__(self) -> Iterator[Source]:
        """All of them, beginning with another one each time, so that no queue is always the first."""
        sources = list(self._sources.values())
        self._next = (self._next + 1) % max(1, len(sources))
        return iter(sources[self._next :] + sources[: self._next])

    def __len__(self) -> int:
        """How many queues there are."""
        return len(self._sources)

    @property
    def are_open(self) -> bool:
        """Whether the broker may send anything."""
        return any(source.credit > 0 for source in self._sources.values())

    def prepare(self, task_consumer: kombu.Consumer, names: dict[str, str], prefetch: int) -> None:
        """Set the prefetch count of the consumers that kombu opens next; `names` gets the queue of each tag."""
        self._task_consumer = task_consumer
        self._sources = {}
        self._names = names
        self._prefetch = prefetch
        channel: Any = task_consumer.channel
        channel.basic_qos(prefetch_size=0, prefetch_count=prefetch, a_global=False)

    def source_of(self, queue: str) -> Source | None:
        """The source of that queue; None when its messages are never given back."""
        if queue not in self._sources:
            self.adopt()
        return self._sources.get(queue)

    def open(self, source: Source, prefetch: int) -> None:
        """Let the broker send `prefetch` messages more, over one more consumer.

        Replacing the consumer would cost messages: a quorum queue takes back those that are on their way to a consumer
        that is cancelled, and counts that. Tried on RabbitMQ 3.10.8.

        Raises:
            ValueError: `prefetch` is not above 0.
        """
        if len(source.consumers) >= MOST_CONSUMERS and source.credit <= 0:
            # Nothing is on its way to them.
            self.close(source)
        # kombu's own methods wait for the broker's answers.
        if prefetch <= 0:
            # The broker would take 0 for no limit.
            raise ValueError(f"a prefetch count must be above 0, and not {prefetch}")
        task_consumer: Any = self._task_consumer
        channel = task_consumer.channel
        channel.send_method(spec.Basic.Qos, "lBb", (0, prefetch, False))
        tag = new_tag(task_consumer)
        # kombu shows this one to those that ask whether the queue is consumed.
        active_tags(task_consumer).setdefault(source.queue.name, tag)
        source.consumers[tag] = prefetch
        source.prefetch += prefetch
        self._names[tag] = source.queue.name
        consume(task_consumer, source.queue, tag)

    def stream(self, window: int, room: int, *, is_full: bool) -> None:
        """Let short tasks come from every queue, each with the whole window.

        Args:
            window: the messages that the worker asks for at a time.
            room: what is left of it.
            is_full: whether so many messages wait that a queue without a consumer can wait too.
        """
        for source in self:
            if source.prefetch > window and source.credit <= 0:
                # Nothing is on its way to them.
                self.close(source)
            elif not source.consumers and is_full:
                continue
            elif source.prefetch < window:
                self.open(source, window - source.prefetch)
            elif source.credit <= 0 < room:
                # What waits for its ETA has used up the consumers' counts.
                self.open(source, room)

    def top_up(self, room: int) -> None:
        """Let long tasks come from the only queue, one for each free slot."""
        for source in self:
            if room > source.credit:
                self.open(source, room - source.credit)

    def take_turns(self, room: int, *, budget_s: float, now_is_time: bool) -> float | None:
        """Consume from one more queue while a slot is free, and from none while none is.

        Args:
            room: the free slots.
            budget_s: seconds for which a worker may hold a message.
            now_is_time: whether the time is over that the last call gave.

        Returns:
            The seconds after which to call this again at the latest; None when there is nothing to wait for.
        """
        if room <= 0:
            if now_is_time:
                self.close_all()
            elif self.are_open:
                # Not at once: messages may be on their way, and the broker would count that it took them back.
                return budget_s / 2
            return None
        if self.are_open and not now_is_time:
            return NEXT_QUEUE_S
        for source in self:
            if source.credit < room:
                self.open(source, room - source.credit)
                return NEXT_QUEUE_S
        return None

    def close(self, source: Source) -> None:
        """Cancel the consumers of the queue."""
        task_consumer: Any = self._task_consumer
        if source.consumers:
            active_tags(task_consumer).pop(source.queue.name, None)
        for tag in source.consumers:
            self._cancelled.append(tag)
            # py-amqp forgets the consumer at the answer, so messages that come before it are received.
            task_consumer.channel.send_method(spec.Basic.Cancel, "sb", (tag, False))
        while len(self._cancelled) > _TAGS_KEPT:
            self._names.pop(self._cancelled.popleft(), None)
        source.consumers.clear()
        source.prefetch = source.unsettled = 0
        source.asked_at = None

    def was_cancelled(self, tag: str) -> None:
        """The broker has cancelled this consumer."""
        task_consumer: Any = self._task_consumer
        for source in self._sources.values():
            if tag in source.consumers:
                # Its messages may count for the others from now on; the next ones that are opened make up for it.
                source.prefetch -= source.consumers.pop(tag)
                source.unsettled = min(source.unsettled, source.prefetch)
                self._cancelled.append(tag)
                # Without this RabbitMQ 4.3.6 sends more over it when the message that was late is acknowledged.
                task_consumer.channel.send_method(spec.Basic.Cancel, "sb", (tag, False))
                tags = active_tags(task_consumer)
                if tags.get(source.queue.name) == tag:
                    del tags[source.queue.name]
                    if source.consumers:
                        tags[source.queue.name] = next(iter(source.consumers))

    def leave(self, queue: str) -> None:
        """Cancel the consumers of that queue, and open no more."""
        source = self._sources.pop(queue, None)
        if source is not None:
            self.close(source)

    def join(self, prefetch: int) -> None:
        """Replace several consumers of a queue, or one with a larger count, by one; the worker is idle."""
        for source in self._sources.values():
            if len(source.consumers) > 1 or source.prefetch > prefetch:
                self.close(source)
                self.open(source, prefetch)

    def close_all(self) -> None:
        """Cancel every consumer."""
        for source in self._sources.values():
            self.close(source)

    def adopt(self) -> None:
        """Take over the consumers that kombu opened, and drop the queues that it does not consume any more."""
        task_consumer = self._task_consumer
        if task_consumer is None:
            return
        queues = {queue.name: queue for queue in task_consumer.queues}
        tags = active_tags(task_consumer)
        self._sources = {name: source for name, source in self._sources.items() if name in queues}
        for name, queue in queues.items():
            if not _may_return(queue):
                continue
            source = self._sources.setdefault(name, Source(queue=queue))
            tag = tags.get(name)
            if tag is not None and tag not in source.consumers:
                source.consumers[tag] = self._prefetch
                source.prefetch += self._prefetch


def drop_stock_count(consumer: Consumer) -> None:
    """Let no prefetch count hold for the whole channel."""
    if consumer.qos_global:
        # Celery has set one.
        consumer.channel.basic_qos(prefetch_size=0, prefetch_count=0, a_global=True)
        consumer.qos_global = False
    # Celery's loop tells the broker a count at its start, and for each task with an ETA.
    consumer.qos.callback = _ignore_count


def _ignore_count(prefetch_count: int) -> None:
    """Stands in for Celery's own prefetch count, which would hold for the whole channel."""


def _may_return(queue: Queue) -> bool:
    """Whether a message may go back to the queue, and the consumer be cancelled, so that another worker takes it.

    A queue of one worker alone has no other worker, and a queue that is deleted with its last consumer, or some time
    after, would be deleted while the worker is busy. A stream and a queue with a single active consumer keep an order
    that a return would change.
    """
    arguments = queue.queue_arguments or {}
    return not (
        is_deleted_without_consumers(queue)
        or queue.no_ack
        or is_broadcast_queue(queue.name)
        or arguments.get("x-queue-type") == "stream"
        or arguments.get("x-single-active-consumer")
    )
