"""Dispatcher: gives the pool one message a slot, and holds those that come next for no longer than a budget."""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

from celery.utils.log import get_logger
from celery.worker import state

from proj.delivery.dispatch import acknowledgements
from proj.delivery.dispatch.ahead import LATE_SHARE, Ahead
from proj.delivery.dispatch.ended import EndedTasks, is_gone
from proj.delivery.dispatch.in_pipes import InPipes
from proj.delivery.dispatch.next_look import NextLook
from proj.delivery.dispatch.runs_at_once import may_begin_in_thread, runs_at_once
from proj.delivery.dispatch.sources import Sources, drop_stock_count
from proj.delivery.dispatch.waiting import Waiting
from proj.delivery.pool import thread
from proj.delivery.recovery.closed_channel import reconnect_if_closed
from proj.delivery.stock import SCHEDULED

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.worker.request import Request

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage

#: Seconds without a message after which several consumers are replaced by one: longer than a slow broker takes.
IDLE_S = 5.0
#: Seconds between two looks at the held messages, at least.
_SHORTEST_S = 0.001
#: Copies on their way to their queues, from which on they count as messages that the worker has.
_MOST_COPIES = 512

logger = get_logger(__name__)


class Dispatcher:
    """The messages of one worker between the broker and the pool; on the worker's loop."""

    def __init__(
        self, consumer: Consumer, *, slots: int, budget_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Serve the pool of `consumer`, which has so many slots; `clock` tells the time in seconds."""
        self.budget_s = budget_s
        #: Messages that were received and are not in the pool.
        self.held = Waiting()
        #: Those in the pool that wait for their process.
        self.in_pipes = InPipes(consumer, self._has_begun)
        #: The others in the pool, with the time at which they were given to it, the oldest first.
        self.running: dict[KeptMessage, float] = {}
        #: How many messages were given back to their queues.
        self.given_back = 0
        self._consumer = consumer
        self._clock = clock
        self._slots = slots
        self._most_scheduled: int | None = consumer.app.conf.worker_eta_task_limit
        self._ahead = Ahead(budget_s)
        self._sources = Sources()
        #: The window that was asked for last.
        self._asked = slots
        #: Messages that count against the window: held, in the pool, or on their way to another queue.
        self._load = 0
        #: When the last message came.
        self._came_at = 0.0
        #: Since when a slot waits for a message.
        self._waiting_since: float | None = None
        self._next_look = NextLook(consumer.timer, self._look, clock)
        self._loop_thread = threading.get_ident()
        self._ended = EndedTasks(consumer.hub, self._on_ended, clock)
        #: The pool, when its threads can go on with the next message by themselves.
        self._threads = consumer.pool if isinstance(consumer.pool, thread.TaskPool) else None

    # --- One connection -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin with a new connection, which does not consume yet."""
        consumer = self._consumer
        if (task_consumer := consumer.task_consumer) is None:
            return
        self._loop_thread = threading.get_ident()
        drop_stock_count(consumer)
        self._next_look.begin()
        self._ended.begin()
        self._sources.prepare(task_consumer, consumer.queue_names, self._slots)

    def forget(self) -> None:
        """Forget the messages of a lost connection, which the broker delivers again; those that run keep a slot."""
        for message in self.held.clear():
            message.is_load = False
        for ended in self._ended:
            self.running.pop(ended.message, None)
            if ended.next is not None:
                self.running[ended.next] = ended.at
        self.running.update(dict.fromkeys(self.in_pipes.clear(), self._clock()))
        for message in self.running:
            message.is_load = message.request in state.active_requests
        self.running = {message: since for message, since in self.running.items() if message.is_load}
        self._load = len(self.running)
        self._waiting_since = None
        self._sources = Sources()

    def pause(self) -> None:
        """Let the broker send nothing more."""
        self._sources.close_all()

    def consumed_with(self, tag: str) -> str | None:
        """The queue of the open consumer with this tag; None when there is none."""
        self._sources.adopt()
        return next((source.queue.name for source in self._sources if tag in source.consumers), None)

    def was_cancelled(self, tag: str) -> None:
        """Consume again: the broker has cancelled one of the consumers."""
        self._sources.was_cancelled(tag)
        self.plan()

    def renew(self) -> None:
        """Open all consumers again, with counts that are known: kombu has opened some for a queue that was added."""
        self._sources.adopt()
        self._sources.close_all()
        self.plan(now_is_time=True)

    def leave(self, queue: str) -> None:
        """Consume from that queue no more."""
        self._sources.leave(queue)

    def resume(self) -> None:
        """Consume again after a pause in which every consumer was cancelled."""
        if (task_consumer := self._consumer.task_consumer) is not None:
            self._sources.prepare(task_consumer, self._consumer.queue_names, max(1, self._slots - self._load))
            task_consumer.consume()

    def stop(self) -> None:
        """Give all held messages back: the worker ends, and others can run them."""
        self._sources.close_all()
        self.give_back()

    # --- What happens to a message --------------------------------------------------------------------------

    def receive(self, message: KeptMessage) -> None:
        """Give the message to the pool if a slot is free, or hold it."""
        if not self._consumer.is_running:
            # It was on its way when the worker began to end.
            self._consumer.held.give_back_one(message)
            return
        now = self._came_at = self._clock()
        source = message.source = self._sources.source_of(message.delivery.queue)
        if source is not None:
            asked_at = source.received(message.delivery_info["consumer_tag"])
            if asked_at is not None:
                self._ahead.answered(now - asked_at)
        message.dispatcher = self
        message.is_load = True
        self._load += 1
        if self.waiting or len(self.running) >= self._slots:
            if source is None:
                self.held.add_own(message)
            else:
                self.held.add(message, now)
                self._next_look.within(LATE_SHARE * self.budget_s)
                self._give_in_advance()
        else:
            since, self._waiting_since = self._waiting_since, None
            if since is not None and now - since < self.budget_s:
                self._ahead.waited()
            self._give(message, now)
        if len(self._sources) > 1:
            self.plan()

    def settled(self, message: KeptMessage) -> None:
        """The message was acknowledged, rejected or given back, so the broker may send another one."""
        self.note_settled(message)
        self.plan()

    def note_settled(self, message: KeptMessage) -> None:
        """The same for one of several messages, after which `plan` is to be called."""
        source = message.source
        if source is not None:
            source.settled(message.delivery_info["consumer_tag"], self._clock())
        if message not in self.running:
            self._unload(message)

    def ended(self, message: KeptMessage) -> None:
        """The message's task has left its slot; from any thread."""
        if threading.get_ident() == self._loop_thread:
            self._end(message, self._clock())
            return
        threads = self._threads
        following = None
        if threads is not None and threads.can_go_on and self._consumer.is_running:
            following = self.held.take(partial(may_begin_in_thread, self._consumer))
        self._ended.add(message, following)
        if threads is not None and following is not None:
            threads.go_on(partial(self._begin_here, following))

    def apply(self, request: Request) -> None:
        """A task that waited for its ETA or its rate limit goes into the pool."""
        message: KeptMessage = request.message
        if message not in self.running and message.dispatcher is self:
            self.running[message] = self._clock()
            if not message.is_load:
                message.is_load = True
                self._load += 1

    def follow(self, slots: int) -> None:
        """The pool has another number of slots, or may have it under `--autoscale`."""
        # Tasks that left the pool in a way that no request tells of.
        gone = [message for message in self.running if is_gone(message)]
        self._on_ended()
        for message in gone:
            self._end(message, self._clock())
        self._slots = slots
        self._fill()
        window = self.window
        # A quorum queue would take back, and count, what is on its way to a consumer that is cancelled.
        is_idle = not self._load and self._clock() - self._came_at > IDLE_S
        if is_idle and window and not self._consumer.quarantine.paused:
            self._sources.join(window)
        self.plan()

    @property
    def waiting(self) -> int:
        """How many messages wait for a slot."""
        return len(self.held) + len(self.in_pipes)

    @property
    def waiting_since(self) -> float | None:
        """When the oldest of them arrived that may be given back; None when there is none."""
        since = self.in_pipes.since
        return self.held.since if since is None else since

    @property
    def acknowledges_at(self) -> int:
        """How many acknowledgements are written together: few while the broker waits for them to send more."""
        return min(self._asked // 4, acknowledgements.MOST) if self.waiting else 0

    @property
    def window(self) -> int:
        """The messages that the worker asks for at a time, besides those that wait for their ETA."""
        if self._most_scheduled and len(SCHEDULED) >= self._most_scheduled:
            return 0
        return self._slots + self._ahead.count(max(0, self._slots - self._long_tasks))

    @property
    def _long_tasks(self) -> int:
        """How many tasks have had their slot for longer than the budget."""
        begun_before = self._clock() - self.budget_s
        return sum(1 for _ in takewhile(begun_before.__ge__, self.running.values()))

    # --- Inside -----------------------------------------------------------------------------------------------

    def _begin_here(self, message: KeptMessage) -> None:
        """Give the message to the pool, in whose thread this is."""
        self._consumer.run(message)
        if message.request is None:
            # It was refused. Where Celery made a request, its end is told.
            self.ended(message)

    def _on_ended(self) -> None:
        for ended in self._ended:
            if ended.next is not None:
                self.running[ended.next] = ended.at
            self._end(ended.message, ended.at)

    def _end(self, message: KeptMessage, at: float) -> None:
        """The message's task has left its slot at that time."""
        if not self._leave(message, at):
            return
        self._fill()
        self._give_in_advance()
        if len(self.running) < self._slots and not self.waiting and self._waiting_since is None:
            self._waiting_since = at
        if not message.is_load:
            # Nothing settles it later, because it was acknowledged early, or leased.
            self.plan()

    def _leave(self, message: KeptMessage, at: float) -> bool:
        """Free the message's slot; whether it had one."""
        since = self.running.pop(message, None)
        if since is None:
            # After the loss of its process, another one may have run it.
            if not self.in_pipes.remove(message):
                return False
        elif message.request is not None and message.request.time_start is not None:
            self._ahead.ended(at - since)
        self._unload_settled(message)
        return True

    def _fill(self) -> None:
        """Give held messages to free slots."""
        while len(self.running) < self._slots and self._consumer.is_running:
            if self.in_pipes.move_one():
                continue
            message = self.held.take()
            if message is None:
                return
            self._give(message, self._clock())

    def _give_in_advance(self) -> None:
        """Write held messages to the pipes of busy processes, while tasks are short."""
        while self._asked > self._slots and self.in_pipes.has_room:
            taken = self.held.take_held(partial(runs_at_once, self._consumer))
            if taken is None:
                return
            message, arrived = taken
            if not self.in_pipes.give(message, arrived):
                # Celery has refused it.
                self._unload_settled(message)

    def _has_begun(self, message: KeptMessage) -> None:
        """A message in a pipe is the next one of its process, or has even begun."""
        self.running[message] = self._clock()

    def _give(self, message: KeptMessage, now: float) -> None:
        self.running[message] = now
        self._consumer.run(message)
        request = message.request
        if request is None:
            # It was refused. Where Celery made a request, its end is told.
            self._leave(message, self._clock())
        elif request.eta:
            # Its timer calls `apply`.
            self.running.pop(message, None)
            self._unload(message)

    def _unload_settled(self, message: KeptMessage) -> None:
        if message.acknowledged or message.settlement is not None or not message.can_be_settled:
            self._unload(message)

    def _unload(self, message: KeptMessage) -> None:
        if message.is_load:
            message.is_load = False
            self._load -= 1

    def _look(self) -> None:
        consumer = self._consumer
        if not consumer.is_running or not consumer.task_consumer:
            return
        try:
            with reconnect_if_closed(consumer.channel_errors):
                if self.may_hold_s <= 0:
                    self.give_back()
                elif self.may_hold_s <= (1 - LATE_SHARE) * self.budget_s:
                    self._ahead.held_long(self._clock())
                self.plan(now_is_time=True)
        finally:
            if self.waiting_since is not None:
                left_s = self.may_hold_s
                late_in_s = left_s - (1 - LATE_SHARE) * self.budget_s
                self._next_look.within(max(_SHORTEST_S, late_in_s if late_in_s > 0 else left_s))

    @property
    def may_hold_s(self) -> float:
        """For how many seconds the oldest message may still be held; the budget when there is none."""
        now, since = self._clock(), self.waiting_since
        return self.budget_s - (now - since if since is not None else 0.0)

    def give_back(self, queue: str | None = None) -> int:
        """Give back all that is held, or what is of that queue; how much that was."""
        given = [*self.in_pipes.take_back(queue), *self.held.take_all(queue)]
        if not given:
            return 0
        self._ahead.gave_back(behind_long=self._long_tasks > 0)
        # Nothing new comes first, or the broker would send them here again.
        self._sources.close_all()
        self.given_back += len(given)
        logger.debug("Messages given back to their queues: %d.", len(given), extra={"action": "messages_given_back"})
        for message in given:
            self._consumer.held.give_back_one(message)
            if message.is_moving and self._consumer.forwarder.pending < _MOST_COPIES:
                # Its consumer is closed, so a free slot need not wait for the copy.
                self._unload(message)
        return len(given)

    def plan(self, *, now_is_time: bool = False) -> None:
        """Open or close consumers, so that the broker may send what the window has room for."""
        consumer = self._consumer
        if not consumer.is_running or consumer.quarantine.paused:
            return
        if not len(self._sources):
            self._sources.adopt()
        window = self._asked = self.window
        room = window - self._load
        if window > self._slots:
            self._sources.stream(window, room, is_full=2 * self.waiting > window - self._slots)
        elif len(self._sources) > 1:
            wait_s = self._sources.take_turns(room, budget_s=self.budget_s, now_is_time=now_is_time)
            if wait_s is not None:
                self._next_look.within(wait_s)
        else:
            self._sources.top_up(room)
