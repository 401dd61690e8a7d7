"""When a worker sends the monitoring events that it has buffered, and in which order."""

from __future__ import annotations

import inspect
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, bootsteps
from celery.events import dispatcher as stock
from celery.worker.consumer import events as stock_step

from proj.delivery.recovery import monitoring_events
from proj.delivery.recovery.event_flushes import FULL, INTERVAL_S, CoalesceEvents, EventFlushes
from proj.delivery.recovery.monitoring_events import (
    LARGE,
    EventDispatcher,
    count_letter,
    count_letters,
    send_events_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """A worker's loop, of which a test takes each turn, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.later.append((self.now + delay_s, call))

    def turn(self, after_s: float = 0.0) -> None:
        """Let time pass, and do what is due."""
        self.now += after_s
        due, self.soon = self.soon, []
        due += [call for when, call in self.later if when <= self.now]
        self.later = [(when, call) for when, call in self.later if when > self.now]
        for call in due:
            call()


class Producer:
    """Keeps what a dispatcher publishes: its routing keys, and the types of the events."""

    def __init__(self) -> None:
        self.published: list[tuple[str, list[str]]] = []
        self.events: list[dict[str, Any]] = []
        self.broken = False

    def publish(self, body: Any, *, routing_key: str, **_: object) -> None:
        if self.broken:
            raise ConnectionResetError
        events = body if isinstance(body, list) else [body]
        self.events += events
        self.published.append((routing_key, [event["type"] for event in events]))


def dispatcher_of(app: Celery, **options: Any) -> tuple[Any, Producer]:
    """A dispatcher as a worker makes it, which publishes to nowhere."""
    dispatcher = app.events.Dispatcher(app.connection_for_write(), hostname="w@h", **options)
    dispatcher.producer = Producer()
    return dispatcher, dispatcher.producer


@pytest.fixture
def app() -> Celery:
    app = Celery("theirs", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    send_events_once(app)
    return app


def flushes_of(loop: Loop, flush: Callable[[], None]) -> EventFlushes:
    return EventFlushes(flush, soon=loop.call_soon, later=loop.call_later, clock=lambda: loop.now)


# --- When -------------------------------------------------------------------------------------------


def test_first_event_is_sent_in_the_next_turn_and_those_after_it_together_later() -> None:
    """A monitor sees at once that an idle worker has begun, and a busy worker publishes ten messages a second."""
    loop, sent = Loop(), []
    flushes = flushes_of(loop, lambda: sent.append(loop.now))

    flushes.plan()
    loop.turn()
    assert sent == [0.0]

    for _ in range(5):
        flushes.plan()
        loop.turn(INTERVAL_S / 10)
    assert sent == [0.0]
    loop.turn(INTERVAL_S)
    assert len(sent) == 2

    loop.turn(10 * INTERVAL_S)
    assert (len(sent), loop.soon, loop.later) == (2, [], [])
    flushes.plan()
    loop.turn()
    assert len(sent) == 3


def test_event_that_comes_during_a_flush_is_sent_too() -> None:
    """A thread may send one while the loop publishes, after the flush has taken its events."""
    loop, sent = Loop(), []

    def flush() -> None:
        sent.append(loop.now)
        if len(sent) == 1:
            flushes.plan()

    flushes = flushes_of(loop, flush)
    flushes.plan()
    loop.turn()
    loop.turn()
    loop.turn(INTERVAL_S)

    assert len(sent) == 2


# --- The step ---------------------------------------------------------------------------------------


def consumer_of(dispatcher: Any, loop: Loop | None) -> Any:
    return SimpleNamespace(
        event_dispatcher=dispatcher,
        hub=loop,
        pool=None,
        blueprint=SimpleNamespace(state=bootsteps.RUN),  # type: ignore[attr-defined] # celery-types lacks it
    )


def test_full_buffer_is_sent_without_waiting_for_the_loop(app: Celery) -> None:
    """What a worker holds of its events is bounded."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])
    CoalesceEvents(None).start(consumer_of(dispatcher, Loop()))

    for _ in range(FULL + 1):
        dispatcher.send("task-started", uuid="a")

    assert [len(types) for _, types in producer.published] == [FULL]


def test_worker_that_stops_sends_what_is_buffered_and_every_further_event_at_once(app: Celery) -> None:
    """Its loop has ended, and its last tasks may run for long."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])
    consumer, step = consumer_of(dispatcher, Loop()), CoalesceEvents(None)
    step.start(consumer)
    dispatcher.send("task-started", uuid="a")

    consumer.blueprint.state = bootsteps.CLOSE  # type: ignore[attr-defined] # celery-types lacks it
    step.stop(consumer)
    dispatcher.send("task-succeeded", uuid="a")

    assert [types for _, types in producer.published] == [["task-started"], ["task-succeeded"]]


def test_worker_that_reconnects_keeps_what_is_buffered_for_the_next_connection(app: Celery) -> None:
    """Its connection is lost; what is written to it now might be lost too."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])
    consumer, step = consumer_of(dispatcher, Loop()), CoalesceEvents(None)
    step.start(consumer)
    dispatcher.send("task-started", uuid="a")

    step.stop(consumer)

    assert producer.published == []


@pytest.mark.parametrize(
    ("buffered", "driver"), [([], "amqp"), (["task"], "redis")], ids=["without an event loop", "over Redis"]
)
def test_other_workers_events_stay_celerys(app: Celery, buffered: list[str], driver: str) -> None:
    """The pools of gevent and eventlet have no event loop."""
    dispatcher, _ = dispatcher_of(app, buffer_group=buffered)
    dispatcher.connection = SimpleNamespace(transport=SimpleNamespace(driver_type=driver), connected=False)
    consumer, step = consumer_of(dispatcher, Loop()), CoalesceEvents(None)

    step.start(consumer)
    step.stop(consumer)

    assert (dispatcher.buffer_limit, dispatcher.on_send_buffered) == (24, None)


def test_worker_without_events_has_nothing_to_flush() -> None:
    """`--without-heartbeat --without-gossip` leaves Celery's step out, and so the dispatcher."""
    consumer, step = consumer_of(None, Loop()), CoalesceEvents(None)

    step.start(consumer)
    step.stop(consumer)


# --- The dispatcher -----------------------------------------------------------------------------------


def test_heartbeat_follows_the_events_of_the_tasks_that_it_counts(app: Celery) -> None:
    """Celery sends a heartbeat before the events that are buffered."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])

    dispatcher.send("task-started", uuid="a")
    dispatcher.send("worker-heartbeat", processed=1)

    assert producer.published == [("task.multi", ["task-started"]), ("worker.heartbeat", ["worker-heartbeat"])]


def test_heartbeats_have_the_further_fields_also_after_a_lost_connection(app: Celery) -> None:
    """Adaptive dispatch sets them once; other events of a worker stay as they are."""
    lost, _ = dispatcher_of(app, buffer_group=["task"])
    lost.heartbeat_fields = lambda: {"window": 4}
    count_letters(lost)

    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])
    dispatcher.extend_buffer(lost)
    count_letters(dispatcher)
    for _ in range(2):
        count_letter(dispatcher, "mail")
    for kind in ("worker-online", "worker-heartbeat", "worker-offline", "worker-elect"):
        dispatcher.send(kind, processed=1)

    assert [event.get("window") for event in producer.events] == [4, 4, 4, None]
    assert [event.get("dead_letters") for event in producer.events] == [*[{"mail": 2}] * 3, None]


@pytest.mark.parametrize("timestamp", [{}, {"timestamp": 1.5}], ids=["now", "given"])
def test_buffered_event_is_the_one_that_celery_makes(app: Celery, timestamp: dict[str, float]) -> None:
    """Monitors find the same fields in it, whatever its options are."""
    theirs = stock.EventDispatcher(app.connection_for_write(), hostname="w@h", app=app, buffer_group=["task"])
    ours, _ = dispatcher_of(app, buffer_group=["task"])
    made: list[dict[str, Any]] = []
    before = time.time()
    for dispatcher in (theirs, ours):
        dispatcher.send("task-retried", retry=True, blind=True, uuid="a", exception="e", **timestamp)
        (event,) = dispatcher._group_buffer["task"]  # noqa: SLF001 it has no public name
        made.append(event)

    assert made[1].pop("clock") == made[0].pop("clock") + 1
    if not timestamp:
        assert before <= made[0].pop("timestamp") <= made[1].pop("timestamp") <= time.time()
    assert made[1] == made[0]
    assert made[0].keys() >= {"type", "hostname", "pid", "utcoffset", "uuid", "exception"}


@pytest.mark.parametrize(("enabled", "groups"), [(False, []), (True, ["worker"])], ids=["disabled", "without tasks"])
def test_events_that_nobody_asked_for_are_not_buffered(app: Celery, *, enabled: bool, groups: list[str]) -> None:
    """`worker` without `--task-events`, until `control enable_events`."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"], groups=groups, enabled=enabled)

    dispatcher.send("task-started", uuid="a")
    dispatcher.flush()

    assert producer.published == []


def test_large_event_is_sent_at_once(app: Celery) -> None:
    """Two hundred long reasons of failures might be more than the broker accepts in one message."""
    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])

    dispatcher.send("task-failed", uuid="a", exception="short")
    assert producer.published == []
    dispatcher.send("task-failed", uuid="b", exception="long" * LARGE)

    assert producer.published == [("task.multi", ["task-failed", "task-failed"])]


def test_events_of_a_lost_connection_are_sent_once_and_in_order_over_the_next(app: Celery) -> None:
    """Those that could not be sent, and then those that were only buffered, which Celery forgets."""
    lost, broken = dispatcher_of(app, buffer_group=["task"])
    broken.broken = True
    lost.send("task-received", uuid="a")
    lost.flush()
    lost.send("task-started", uuid="a")
    lost.disable()

    dispatcher, producer = dispatcher_of(app, buffer_group=["task"])
    dispatcher.extend_buffer(lost)
    dispatcher.flush()
    dispatcher.flush()
    lost.flush()

    assert producer.published == [("task.multi", ["task-received"]), ("task.multi", ["task-started"])]


def test_celery_has_what_events_lean_on(app: Celery) -> None:
    """`CoalesceEvents` sets two attributes; the dispatcher fills and shares a third, and takes the same arguments."""
    dispatcher, _ = dispatcher_of(app, buffer_group=["task"])
    ours, theirs = (list(inspect.signature(each.send).parameters) for each in (EventDispatcher, stock.EventDispatcher))

    assert isinstance(dispatcher, EventDispatcher)
    assert ours == theirs
    assert {"buffer_limit", "on_send_buffered", "_group_buffer"} <= vars(stock.EventDispatcher(app=app)).keys()
    # A worker in this process has put the classes in the place of their names.
    required: tuple[Any, ...] = CoalesceEvents.requires
    names = [each if isinstance(each, str) else f"{each.__module__}:{each.__name__}" for each in required]
    assert names == [f"{stock_step.__name__}:{stock_step.Events.__name__}"]


# --- While the broker has blocked publishers -----------------------------------------------------------


def blocked_dispatcher(app: Celery, **options: Any) -> tuple[Any, Producer]:
    """A dispatcher over a connection on which the broker has just said that publishers are blocked."""
    dispatcher, producer = dispatcher_of(app, **options)
    dispatcher.connection = SimpleNamespace(connection=SimpleNamespace(), drain_events=lambda **_: None)
    dispatcher.keep_while_blocked(is_read=True)
    dispatcher.connection.connection.on_blocked("low on memory")
    return dispatcher, producer


def test_blocked_broker_is_sent_nothing_and_then_everything_in_order(app: Celery) -> None:
    """What is written meanwhile stays in the kernel, which ends the connection after some seconds."""
    loop = Loop()
    dispatcher, producer = blocked_dispatcher(app, buffer_group=["task"], buffer_limit=2)
    dispatcher.on_send_buffered = flushes_of(loop, dispatcher.flush).plan

    for number in range(5):
        dispatcher.send("task-sent", uuid=str(number))
        loop.turn(INTERVAL_S)
    dispatcher.send("worker-heartbeat")
    assert producer.published == []

    dispatcher.connection.connection.on_unblocked()
    loop.turn(INTERVAL_S)
    loop.turn(INTERVAL_S)
    assert [event["uuid"] for event in producer.events] == ["0", "1", "2", "3", "4"]


def test_worker_without_an_event_loop_reads_by_itself_that_it_is_not_blocked_any_more(app: Celery) -> None:
    """With the pools of gevent and eventlet nobody else reads the connection for events."""
    dispatcher, producer = blocked_dispatcher(app)
    dispatcher.keep_while_blocked(is_read=False)
    dispatcher.send("task-received", uuid="1")
    assert producer.published == []

    dispatcher.connection.drain_events = lambda **_: dispatcher.connection.connection.on_unblocked()
    dispatcher.send("task-started", uuid="1")

    assert producer.published == [("task.received", ["task-received"]), ("task.started", ["task-started"])]


def test_oldest_events_are_dropped_and_counted_while_the_broker_stays_blocked(
    app: Celery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm may last for hours."""
    monkeypatch.setattr(monitoring_events, "MOST_KEPT", 6)
    dispatcher, producer = blocked_dispatcher(app, buffer_group=["task"], buffer_limit=2)

    for number in range(10):
        dispatcher.send("task-sent", uuid=str(number))
    dispatcher.connection.connection.on_unblocked()
    dispatcher.flush()

    assert [event["uuid"] for event in producer.events] == ["4", "5", "6", "7", "8", "9"]
    assert [record.__dict__["dropped"] for record in caplog.records if "dropped" in record.__dict__] == [4]
