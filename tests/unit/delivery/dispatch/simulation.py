"""Workers with the real `Dispatcher` and a broker that is played, in virtual time."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from amqp import spec
from celery.worker import state

from proj.delivery.dispatch.dispatcher import Dispatcher
from proj.delivery.pool import thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Seconds between two calls of `Dispatcher.follow`, as of `proj.delivery.consuming.prefetch`.
FOLLOW_S = 0.5


@dataclass(eq=False)
class Timer:
    """An entry of a worker's timer."""

    call: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """Virtual time, and what is to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Timer]] = []
        self._numbers = count()

    def __call__(self) -> float:
        return self.now

    def call_after(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), timer))
        return timer

    def run(self, done: Callable[[], bool], *, until: float) -> None:
        """Let things happen until all is `done`, or the time is over."""
        while self._events and not done():
            time, _number, timer = heapq.heappop(self._events)
            if time > until:
                return
            self.now = time
            if not timer.is_cancelled:
                timer.call()


@dataclass(eq=False)
class Task:
    """One task: how long it takes, when it comes, and what happened to it."""

    seconds: float
    queue: str = "queue"
    arrives: float = 0.0
    #: Whether it is acknowledged when it starts.
    is_early: bool = False
    #: How often it was run.
    runs: int = 0
    #: Since when it waits; None while it runs and after that.
    waiting_since: float | None = None


@dataclass(eq=False)
class Request:
    """What a worker knows of a task in its pool."""

    eta: object = None
    time_start: float | None = None
    has_ended: bool = False


@dataclass(eq=False)
class Message:
    """One delivery of a task."""

    task: Task
    tag: str
    acknowledged: bool = False
    can_be_settled: bool = True
    is_moving: bool = False
    is_load: bool = False
    settlement: object = None
    request: Any = None
    dispatcher: Any = None
    source: Any = None

    @property
    def channel(self) -> Any:
        return SimpleNamespace(connection=SimpleNamespace(connected=True))

    @property
    def delivery(self) -> Any:
        return SimpleNamespace(queue=self.task.queue, contents=SimpleNamespace(headers={"task": "task"}))

    @property
    def delivery_info(self) -> dict[str, str]:
        return {"consumer_tag": self.tag}


@dataclass(eq=False)
class Consumer:
    """One consumer at the broker."""

    worker: Worker
    tag: str
    prefetch: int
    unsettled: int = 0
    is_open: bool = True


class Broker:
    """Queues that send each message to the next consumer with credit; each way to a worker takes `delay_s` seconds."""

    def __init__(self, clock: Clock, queues: Sequence[str], *, delay_s: float, copies: bool = False) -> None:
        self.clock = clock
        self.delay_s = delay_s
        #: Whether a message goes back as a copy at the end of its queue.
        self.copies = copies
        self.ready: dict[str, deque[Task]] = {name: deque() for name in queues}
        self._consumers: dict[str, deque[Consumer]] = {name: deque() for name in queues}
        self._of_tag: dict[tuple[object, str], Consumer] = {}

    def publish(self, task: Task) -> None:
        task.waiting_since = self.clock.now
        self.ready[task.queue].append(task)
        self._deliver(task.queue)

    def consume(self, worker: Worker, queue: str, tag: str, prefetch: int) -> None:
        consumer = self._of_tag[worker, tag] = Consumer(worker, tag, prefetch)
        self._consumers[queue].append(consumer)
        self._deliver(queue)

    def cancel(self, worker: Worker, tag: str) -> None:
        consumer = self._of_tag[worker, tag]
        consumer.is_open = False
        for consumers in self._consumers.values():
            with suppress(ValueError):
                consumers.remove(consumer)

    def settle(self, worker: Worker, message: Message, *, back: bool) -> None:
        if message.task.queue not in self.ready:
            return
        self._of_tag[worker, message.tag].unsettled -= 1
        if back:
            queue = self.ready[message.task.queue]
            if self.copies:
                queue.append(message.task)
            else:
                queue.appendleft(message.task)
        self._deliver(message.task.queue)

    def _deliver(self, queue: str) -> None:
        consumers = self._consumers[queue]
        for _ in range(len(consumers)):
            if not self.ready[queue]:
                return
            consumer = consumers[0]
            consumers.rotate(-1)
            if consumer.unsettled < consumer.prefetch:
                consumer.unsettled += 1
                message = Message(self.ready[queue].popleft(), consumer.tag)
                self.clock.call_after(self.delay_s, partial(consumer.worker.receive, message))
                self._deliver(queue)
                return


class Threads(thread.TaskPool):
    """A pool of threads, of which none waits for another."""

    can_go_on = True  # type: ignore[assignment] # a property

    def __init__(self) -> None:  # no thread is started
        self._next: Callable[[], object] | None = None
        #: How often one went on.
        self.went_on = 0

    def go_on(self, give: Callable[[], object]) -> None:
        self._next = give
        self.went_on += 1

    def begin_next(self) -> None:
        give, self._next = self._next, None
        if give is not None:
            give()


@dataclass(eq=False)
class Worker:
    """A worker of some slots; what it says to the broker arrives in order, after the delay."""

    broker: Broker
    slots: int
    budget_s: float
    #: What it was given, and when it gave messages back.
    ran: list[Task] = field(default_factory=list)
    gave_back: set[float] = field(default_factory=set)
    #: Consumers that it has opened.
    opened: int = 0
    #: Since when a slot is free; None while none is.
    free_since: float | None = 0.0
    watch: Callable[[], None] = lambda: None
    #: Whether its pool has threads, which go on by themselves.
    has_threads: bool = False
    #: Tasks in its pool.
    running: int = 0

    def __post_init__(self) -> None:
        """Connect, and consume as kombu does."""
        clock = self.broker.clock
        self._prefetch = 0
        self.threads = Threads() if self.has_threads else None
        self.consumer = SimpleNamespace(
            app=SimpleNamespace(conf=SimpleNamespace(worker_eta_task_limit=None)),
            task_consumer=self._task_consumer(),
            queue_names={},
            qos_global=False,
            qos=SimpleNamespace(callback=None),
            hub=SimpleNamespace(call_soon=partial(clock.call_after, 0.0), call_later=clock.call_after),
            pool=self.threads,
            acknowledgements=SimpleNamespace(waiting=0),
            task_buckets=defaultdict(lambda: None),
            on_task_message=(),
            timer=SimpleNamespace(call_after=clock.call_after),
            is_running=True,
            quarantine=SimpleNamespace(paused=False),
            held=SimpleNamespace(give_back_one=self._give_back),
            forwarder=SimpleNamespace(pending=0),
            channel_errors=(),
            run=self._run,
        )
        self.dispatcher = Dispatcher(cast("Any", self.consumer), slots=self.slots, budget_s=self.budget_s, clock=clock)
        self.dispatcher.begin()
        for queue in self.consumer.task_consumer.queues:
            self.consumer.task_consumer._active_tags[queue.name] = queue.name  # noqa: SLF001 kombu has no public name
            queue.consume(queue.name)
        self._follow()

    def receive(self, message: Message) -> None:
        self.watch()
        self.dispatcher.receive(cast("Any", message))
        self.watch()

    def _task_consumer(self) -> Any:
        channel = SimpleNamespace(basic_qos=self._qos, send_method=self._send)
        queues = [
            SimpleNamespace(
                name=name,
                queue_arguments=None,
                auto_delete=False,
                exclusive=False,
                no_ack=False,
                consume=partial(self._consume, name),
            )
            for name in self.broker.ready
        ]
        return SimpleNamespace(
            queues=queues,
            channel=channel,
            no_ack=False,
            tag_prefix="tag",
            _tags=count(),
            _active_tags={},
            _receive_callback=None,
        )

    def _later(self, call: Callable[[], None]) -> None:
        self.broker.clock.call_after(self.broker.delay_s, call)

    def _qos(self, *, prefetch_size: int, prefetch_count: int, a_global: bool) -> None:
        assert not prefetch_size
        assert not a_global
        self._prefetch = prefetch_count

    def _send(self, method: object, _signature: str, words: tuple[Any, ...]) -> None:
        if method is spec.Basic.Qos:
            self._prefetch = words[1]
        else:
            assert method is spec.Basic.Cancel
            self._later(partial(self.broker.cancel, self, words[0]))

    def _consume(self, queue: str, tag: str, *_: object, **__: object) -> None:
        assert self._prefetch > 0, "0 is without limit"
        self.opened += 1
        self._later(partial(self.broker.consume, self, queue, tag, self._prefetch))

    def _run(self, message: Message) -> None:
        self.watch()
        clock, task = self.broker.clock, message.task
        task.runs += 1
        self.running += 1
        task.waiting_since = None
        self.ran.append(task)
        message.request = Request(time_start=clock.now)
        state.active_requests.add(message.request)
        clock.call_after(task.seconds, partial(self._end, message))
        if task.is_early:
            clock.call_after(0.0, partial(self._settle, message, back=False))

    def _end(self, message: Message) -> None:
        state.active_requests.discard(message.request)
        message.request.has_ended = True
        self.running -= 1
        if self.threads is None:
            self.dispatcher.ended(cast("Any", message))
        else:
            with self._in_thread():
                self.dispatcher.ended(cast("Any", message))
                self.threads.begin_next()
        if message.settlement is not None:
            message.acknowledged = True
        elif not message.task.is_early:
            # The worker's loop acknowledges it next.
            self.broker.clock.call_after(0.0, partial(self._settle, message, back=False))
        self.watch()

    @contextmanager
    def _in_thread(self) -> Iterator[None]:
        """In the block it is another thread than that of the worker's loop."""
        of_loop = self.dispatcher._loop_thread  # noqa: SLF001 there are no threads here
        self.dispatcher._loop_thread = 0  # noqa: SLF001
        try:
            yield
        finally:
            self.dispatcher._loop_thread = of_loop  # noqa: SLF001

    def _give_back(self, message: Message) -> None:
        self.gave_back.add(self.broker.clock.now)
        self._settle(message, back=True)

    def _settle(self, message: Message, *, back: bool) -> None:
        message.acknowledged = True
        self._later(partial(self.broker.settle, self, message, back=back))
        self.dispatcher.settled(cast("Any", message))
        self.watch()

    def _follow(self) -> None:
        self.dispatcher.follow(self.slots)
        self.broker.clock.call_after(FOLLOW_S, self._follow)
