"""Prefetch: keeps a worker's prefetch count at one message a free slot, while the pool grows and shrinks.

Celery's own count is wrong in two cases. Under `--autoscale 4,1` it counts four slots at the start, because the pool
only grows for messages that it holds; after a lost connection it counts the processes there are, and a pool of one
that holds one message never grows again. And on a quorum queue the count belongs to the consumer and never changes, so
`celery control pool_grow`, `pool_shrink` and `autoscale` change the pool alone: slots stay empty, or messages wait in
a busy worker.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery import bootsteps

from proj.delivery.recovery.closed_channel import reconnect_if_closed
from proj.delivery.recovery.rounds import ROUND_S

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer

logger = logging.getLogger(__name__)

#: Seconds between two checks of the pool: each round. A change by command is followed at once.
LOOK_S = ROUND_S


class Prefetch:
    """The prefetch count of one worker's consumer."""

    def __init__(self, consumer: Consumer) -> None:
        """Adjust the prefetch count of `consumer`."""
        self._consumer = consumer
        #: Leased messages, each of which keeps a slot.
        self.leased = 0
        #: The leased messages that the prefetch count already leaves out.
        self._left_out = 0

    @property
    def slots(self) -> int:
        """The slots that the worker has, or may have under `--autoscale`."""
        autoscaler = getattr(self._consumer.controller, "autoscaler", None)
        # Two `pool_shrink` may count the same process, so the pool may say less than none.
        return max(0, int(self._consumer.pool.num_processes if autoscaler is None else autoscaler.max_concurrency))

    @property
    def count(self) -> int | None:
        """The prefetch count that the broker has been told; None is without limit."""
        initial = self._consumer.initial_prefetch_count
        return max(0, initial - self._left_out) if initial else None

    def begin(self) -> None:
        """Begin with the count that a new connection was given, and check it from now on."""
        self._left_out = 0
        self._consumer.rounds.every(LOOK_S, self.adjust)

    def follow_pool(self) -> None:
        """Adjust to a pool that a person has just changed."""
        # The pool starts processes only every five seconds, and the messages for them would wait.
        self._consumer.pool.maintain_pool()
        self.adjust()

    def adjust(self) -> None:
        """Set the prefetch count to the number of slots without a leased message, unless it has no limit.

        The messages that a replaced consumer of a quorum queue holds are not counted any more. Until they are done the
        worker may hold as many again.

        Raises:
            RecoverableConnectionError: the broker closed the channel, because a queue is gone; nothing is consumed.
        """
        consumer, before = self._consumer, self.count
        task_consumer = consumer.task_consumer
        if not task_consumer or not consumer.is_running:
            return
        # Celery's loop sets this handler later than some steps begin; a message before that would end the worker.
        if consumer.quarantine.paused or not consumer.has_full_prefetch or task_consumer.on_message is None:
            return
        if consumer.dispatcher is not None:
            consumer.dispatcher.follow(self.slots)
        if consumer.dispatcher is not None or before is None:
            return
        consumer.initial_prefetch_count, self._left_out = consumer.max_prefetch_count, self.leased
        after = self.count or 0
        if after == before:
            return
        logger.info("Prefetch count set to %d; it was %d.", after, before, extra={"action": "prefetch_adjusted"})
        # Celery's own count, which also has the tasks that wait for their ETA.
        consumer.qos.value = max(1, consumer.qos.value + after - before)
        with reconnect_if_closed(consumer.channel_errors):
            if consumer.qos_global and before and after:
                consumer.qos.update()
                return
            task_consumer.cancel()
            if after:
                count = consumer.qos.value if consumer.qos_global else after
                consumer.channel.basic_qos(0, count, consumer.qos_global)
                task_consumer.consume()
        consumer.qos.prev = consumer.qos.value


class AdjustPrefetch(bootsteps.StartStopStep):
    """Adjusts the prefetch count while the worker runs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Prefetch"

    def start(self, consumer: Consumer) -> None:
        """Begin anew with each connection."""
        # An app may have a consumer of its own.
        if hasattr(consumer, "prefetch") and consumer.is_amqp:
            consumer.prefetch.begin()
