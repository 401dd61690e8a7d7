"""Quarantine: runs a message that may have killed a worker alone.

When a worker's main process dies, nobody knows which of its messages killed it, and the broker counts a delivery for
each of them. So a message that came back twice is moved to a queue of its own, `<queue>.suspects`. A worker takes one
message from there only while it runs and holds nothing else: if the worker dies then, that message killed it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from celery.utils.log import get_logger
from celery.utils.nodenames import WORKER_DIRECT_QUEUE_FORMAT
from celery.worker import state

from proj.broker.declaration import declare
from proj.broker.queue_counts import count_soon
from proj.delivery.recovery.closed_channel import reconnect_if_closed
from proj.queues import home_queue, is_broadcast_queue, quarantine_queue

if TYPE_CHECKING:
    from proj.broker.queue_counts import QueueCount
    from proj.delivery.consuming.consumer import Consumer

#: Seconds between two checks, while there are quarantined messages.
LOOK_INTERVAL_S = 0.5
#: The same while they are run alone: each waits for the one before it, and most take no time.
ALONE_INTERVAL_S = 0.05
#: Checks of the worker's own state for each check of the broker's queues.
_LOOKS_A_COUNT = 4
#: Seconds between two counts while there are none. The worker's own are counted at once, so those of others can wait.
_REST_S = 10.0
#: Seconds that a quarantined message waits for an idle worker before the worker stops consuming other messages.
_PATIENCE_S = 30.0
#: Seconds that a quarantined message is run alone; if the worker is alive then, it consumes other messages again.
_ALONE_S = 60.0
#: Seconds for which the worker pauses while it holds only messages whose copies the broker does not take. A full queue
#: takes them when it has been drained, perhaps by this worker alone.
_COPIES_S = 5.0

#: The end of the name of a worker's queue for tasks that are sent to it alone (`worker_direct`).
_DIRECT = WORKER_DIRECT_QUEUE_FORMAT.format(hostname="")

logger = get_logger(__name__)


class Quarantine:
    """Lets one worker alternate between its queues and their quarantine queues; on the worker's loop."""

    def __init__(self, consumer: Consumer) -> None:
        """Serve the quarantine queues of the queues of `consumer`."""
        self._consumer = consumer
        self._looks = 0
        #: Another object for each connection, with which the checks of the last one end.
        self._turn = object()
        #: Whether there is a next check.
        self._is_looking = False
        #: Ready messages by quarantine queue, as the broker said last, where there are any.
        self._waiting: dict[str, int] = {}
        self._waiting_since: float | None = None
        #: Whether the worker has stopped consuming for a quarantined message.
        self.paused = False
        self._alone_since: float | None = None
        #: Since when a paused worker waits for nothing but copies.
        self._copies_since: float | None = None

    def begin(self) -> None:
        """Check from now on; a new connection consumes, so nothing is paused."""
        self.paused = False
        self._alone_since = self._copies_since = None
        self._waiting = {}
        self._waiting_since = None
        self._turn = object()
        self._is_looking = False
        self._consumer.timer.call_after(LOOK_INTERVAL_S, self.count)
        self._consumer.rounds.every(_REST_S, self.count)

    def count(self) -> None:
        """Count the quarantined messages, and run them if there are any."""
        consumer = self._consumer
        for queue in consumer.task_consumer.queues if consumer.task_consumer else ():
            if not self.is_own(queue.name):
                name = quarantine_queue(queue.name)
                consumer.call_soon(count_soon, consumer.connection, name, partial(self._counted, self._turn, name))

    def is_own(self, name: str) -> bool:
        """Whether no other worker consumes from the queue, or the broker deletes it when the worker leaves.

        Such a queue has no quarantine queue, which would outlive it: a message there may kill only this worker.
        """
        if is_broadcast_queue(name) or name.endswith(_DIRECT):
            return True
        queue = self._consumer.app.amqp.queues.get(name)
        return queue is not None and bool(queue.auto_delete or queue.exclusive)

    def leave(self, queue: str) -> None:
        """Run nothing of this queue's quarantine any more: the queue is paused."""
        self._waiting.pop(quarantine_queue(queue), None)

    def count_when_moved(self) -> None:
        """Count when the forwarder has published what it was given before."""
        self._consumer.forwarder.ask(lambda _connection: self._consumer.call_soon(self.count))

    def look(self) -> None:
        """Do the next step: count quarantined messages again, pause, take one, or resume.

        Raises:
            RecoverableConnectionError: the broker closed the channel, because a queue is gone.
        """
        with reconnect_if_closed(self._consumer.channel_errors):
            self._look()

    def _counted(self, turn: object, name: str, count: QueueCount | None) -> None:
        if turn is not self._turn or home_queue(name) in self._consumer.pauses:
            return
        if count is None:
            self._consumer.forwarder.ask(partial(declare, queue_name=name))
        elif count.messages:
            self._waiting[name] = count.messages
            if not self._is_looking:
                self._is_looking = True
                # The connection is being read.
                self._consumer.call_soon(self._take_turn, turn)
        else:
            self._waiting.pop(name, None)

    def _take_turn(self, turn: object) -> None:
        if turn is not self._turn:
            return
        try:
            self.look()
        finally:
            self._is_looking = self.paused or bool(self._waiting)
            if self._is_looking:
                interval_s = ALONE_INTERVAL_S if self.paused else LOOK_INTERVAL_S
                self._consumer.timer.call_after(interval_s, self._take_turn, (turn,))

    def _look(self) -> None:
        consumer = self._consumer
        if not consumer.is_running or not consumer.task_consumer:
            return
        if self.paused:
            self._go_on()
            return
        if not self._waiting:
            self._waiting_since = None
            return
        if self._looks % _LOOKS_A_COUNT == 0:
            self.count()
        self._looks += 1
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        if self._idle() or now - self._waiting_since > _PATIENCE_S:
            # Messages that the broker has already sent still arrive; they are run first.
            if consumer.dispatcher is not None:
                consumer.dispatcher.pause()
            consumer.task_consumer.cancel()
            self.paused = True

    def _go_on(self) -> None:
        if self._idle():
            self._alone_since = None
            if self._take():
                self._alone_since = time.monotonic()
                return
            self._resume()
            return
        now = time.monotonic()
        self._copies_since = None if self._is_working() else self._copies_since or now
        if (self._alone_since is not None and now - self._alone_since > _ALONE_S) or (
            self._copies_since is not None and now - self._copies_since > _COPIES_S
        ):
            self._resume()

    def _take(self) -> bool:
        """Receive one quarantined message; whether there was one."""
        for name in sorted(self._waiting):
            raw = self._consumer.channel.basic_get(queue=name, no_ack=False)
            if raw is not None:
                raw.delivery_info["queue"] = name
                logger.warning(
                    "A message from the queue %s is run alone: it may have killed a worker.",
                    name,
                    extra={"action": "message_run_alone"},
                )
                self._consumer.receive(raw)
                return True
        return False

    def _resume(self) -> None:
        self.paused = False
        self._alone_since = self._copies_since = None
        self._waiting_since = None
        self._waiting = {}
        if self._consumer.dispatcher is not None:
            self._consumer.dispatcher.resume()
            return
        # Unless leased messages have all slots.
        if self._consumer.task_consumer and self._consumer.prefetch.count != 0:
            self._consumer.task_consumer.consume()

    def _idle(self) -> bool:
        return not self._is_working() and not self._consumer.forwarder.pending

    def _is_working(self) -> bool:
        # A task may wait for its ETA for days, so it does not count; it comes back if the worker dies.
        dispatcher = self._consumer.dispatcher
        return bool(state.reserved_requests) or (dispatcher is not None and bool(dispatcher.waiting))
