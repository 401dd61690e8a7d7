"""The policy of adaptive dispatch, by simulation: several workers, queues, arrivals and durations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from celery.worker import state
from hypothesis import given, settings
from hypothesis import strategies as st

from proj.delivery.dispatch.acknowledgements import MOST as MOST_ACKNOWLEDGEMENTS
from proj.delivery.dispatch.dispatcher import IDLE_S
from proj.delivery.dispatch.sources import NEXT_QUEUE_S
from tests.unit.delivery.dispatch.simulation import Broker, Clock, Message, Request, Task, Worker

BUDGET_S = 0.05
#: What a timer may be late, and the rounding of virtual time.
STEP_S = 0.001 + 1e-6
#: Seconds of virtual time within which all must be done.
END_S = 3600.0


@dataclass(kw_only=True)
class World:
    """Workers of one broker, which are watched."""

    broker: Broker
    workers: list[Worker]
    tasks: list[Task]
    #: Seconds that the oldest held message was ever held, and that a message waited beside a free slot.
    longest_held_s: float = 0.0
    longest_missed_s: float = 0.0

    def run(self) -> None:
        clock = self.broker.clock
        for worker in self.workers:
            worker.watch = self._watch
        for task in self.tasks:
            clock.call_after(task.arrives, lambda task=task: self.broker.publish(task))
        self._before = {worker: worker.free_since for worker in self.workers}
        clock.run(lambda: all(task.runs for task in self.tasks) and not self._load(), until=END_S)

    def _load(self) -> int:
        return sum(worker.running + worker.dispatcher.waiting for worker in self.workers)

    def _watch(self) -> None:
        now = self.broker.clock.now
        waiting = [task.waiting_since for task in self.tasks if task.waiting_since is not None]
        for worker in self.workers:
            held_since = worker.dispatcher.held.since
            if held_since is not None:
                self.longest_held_s = max(self.longest_held_s, now - held_since)
            if worker.free_since is not None and waiting:
                self.longest_missed_s = max(self.longest_missed_s, now - max(worker.free_since, min(waiting)))
            if worker.running >= worker.slots:
                worker.free_since = None
            elif worker.free_since is None:
                worker.free_since = now


def world(
    tasks: list[Task],
    *,
    workers: int = 2,
    slots: int = 1,
    queues: int = 1,
    delay_s: float = 0.0005,
    copies: bool = False,
    has_threads: bool = False,
) -> World:
    names = ["queue", *(f"queue{number}" for number in range(1, queues))]
    broker = Broker(Clock(), names, delay_s=delay_s, copies=copies)
    made = [Worker(broker, slots, BUDGET_S, has_threads=has_threads) for _ in range(workers)]
    return World(broker=broker, workers=made, tasks=tasks)


#: Seconds of a task: mostly short, some about the budget, some long.
DURATIONS = st.one_of(st.floats(0.0002, 0.005), st.floats(0.0002, 0.005), st.floats(0.02, 0.2), st.floats(0.5, 5.0))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    queues = draw(st.integers(1, 3))
    durations = draw(st.lists(DURATIONS, min_size=1, max_size=80))
    at_once = draw(st.booleans())
    arrivals = st.just(0.0) if at_once else st.floats(0.0, 3.0)
    tasks = [
        Task(
            seconds,
            queue=draw(st.sampled_from(["queue", "queue1", "queue2"][:queues])),
            arrives=draw(arrivals),
        )
        for seconds in durations
    ]
    return world(
        tasks,
        workers=draw(st.integers(1, 3)),
        slots=draw(st.integers(1, 3)),
        queues=queues,
        delay_s=draw(st.sampled_from([0.0002, 0.002, 0.01])),
        copies=draw(st.booleans()),
        has_threads=draw(st.booleans()),
    )


@pytest.mark.hypothesis
@settings(max_examples=200, deadline=None)
@given(worlds())
def test_guarantee_holds_whatever_arrives_and_however_long_it_takes(made: World) -> None:
    """Each message is run once, none is held beyond the budget, and returns cannot go on for ever."""
    made.run()

    assert [task.runs for task in made.tasks] == [1] * len(made.tasks)
    assert made.longest_held_s <= BUDGET_S + STEP_S
    for worker in made.workers:
        # A worker asks for more than its free slots only after it has run a task since it gave back.
        assert len(worker.gave_back) <= len(worker.ran) + 1


@pytest.mark.hypothesis
@settings(max_examples=200, deadline=None)
@given(worlds())
def test_message_waits_beside_a_free_slot_no_longer_than_the_bound(made: World) -> None:
    """Each other worker may hold it once, for the budget; then each queue has its turn."""
    made.run()

    turns_s = len(made.broker.ready) * NEXT_QUEUE_S
    # A return and the next delivery, and a new consumer that crosses them.
    ways_s = 4 * made.broker.delay_s
    holds = max(1, len(made.workers) - 1)
    assert made.longest_missed_s <= holds * (BUDGET_S + STEP_S + ways_s) + turns_s + ways_s


@pytest.mark.parametrize("has_threads", [False, True])
def test_short_tasks_come_in_advance(*, has_threads: bool) -> None:
    """No slot waits for the way to the broker: the makespan is near that of the work alone."""
    made = world([Task(0.001) for _ in range(1000)], workers=1, delay_s=0.005, has_threads=has_threads)

    made.run()

    # One at a time it would be 11 s.
    assert made.broker.clock.now < 1.5
    assert made.workers[0].dispatcher.given_back == 0


@pytest.mark.parametrize("has_threads", [False, True])
def test_worker_that_waited_for_work_often_asks_for_no_more_than_it_can_begin(*, has_threads: bool) -> None:
    """Its slots waited for what nobody had published yet, which tells nothing of the way to the broker."""
    groups = [Task(0.0004, arrives=0.02 * number) for number in range(20) for _ in range(40)]
    many = [Task(0.0004, arrives=0.4) for _ in range(400)]
    made = world([*groups, *many], workers=1, has_threads=has_threads)

    made.run()

    assert made.workers[0].dispatcher.given_back == 0


@pytest.mark.parametrize(("waiting", "goes_on"), [(0, True), (MOST_ACKNOWLEDGEMENTS, False)])
def test_thread_goes_on_by_itself_only_while_few_acknowledgements_wait(*, waiting: int, goes_on: bool) -> None:
    """The tasks of those that the loop has not written are run again when the worker is killed."""
    made = world([Task(0.001) for _ in range(100)], workers=1, has_threads=True)
    (worker,) = made.workers
    worker.consumer.acknowledgements.waiting = waiting
    assert worker.threads is not None

    made.run()

    assert [task.runs for task in made.tasks] == [1] * 100
    assert (worker.threads.went_on > 0) is goes_on


def test_few_acknowledgements_wait_however_many_messages_come_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tasks have ended, and are run again when the worker is killed."""
    made = world([Task(0.0003) for _ in range(2000)], workers=1, delay_s=0.005)
    dispatcher, stock = made.workers[0].dispatcher, made._watch  # noqa: SLF001 the world's own
    seen: set[tuple[int, int]] = set()

    def watch() -> None:
        seen.add((dispatcher.window, dispatcher.acknowledges_at))
        stock()

    monkeypatch.setattr(made, "_watch", watch)

    made.run()

    assert max(window for window, _at in seen) >= 64
    assert max(at for _window, at in seen) == MOST_ACKNOWLEDGEMENTS


@pytest.mark.parametrize("has_threads", [False, True])
def test_messages_behind_a_long_task_are_run_by_the_other_worker(*, has_threads: bool) -> None:
    """The long task ends last, and all else was done long before."""
    tasks = [*(Task(0.001) for _ in range(300)), Task(10.0), *(Task(0.001) for _ in range(300))]
    made = world(tasks, has_threads=has_threads)

    made.run()

    assert sum(worker.dispatcher.given_back for worker in made.workers) > 0
    assert made.longest_missed_s < 0.1
    assert [task.runs for task in tasks] == [1] * len(tasks)


def test_message_of_the_workers_own_queue_waits_without_disturbing_the_consumers() -> None:
    """Nobody else takes it, so it is not given back, and no consumer is closed for it."""
    made = world([Task(10.0), Task(0.001)], workers=1)
    (worker,) = made.workers
    made.broker.clock.call_after(1.0, lambda: worker.receive(Message(Task(0.001, queue="own"), "own")))

    made.run()

    assert worker.dispatcher.waiting == 0
    assert len(worker.ran) == 3
    assert worker.opened <= 3


def test_worker_of_tasks_that_are_acknowledged_early_asks_for_the_next_one_at_once() -> None:
    """It gave back what came at the start of the task, and the end of the task settles nothing."""
    made = world([Task(0.2, is_early=True) for _ in range(5)], workers=1, delay_s=0.0002)

    made.run()

    assert made.broker.clock.now < 5 * 0.2 + 0.05


def test_slot_of_a_leased_message_is_free_after_its_task() -> None:
    """The lease is settled in its own queue, and not on the channel."""
    made = world([Task(1.0), Task(0.001)], workers=1)
    (worker,) = made.workers

    def lease() -> None:
        (message,) = worker.dispatcher.running
        message.settlement = object()  # type: ignore[assignment]

    made.broker.clock.call_after(0.5, lease)
    made.run()

    assert len(worker.ran) == 2
    assert worker.dispatcher.window == 1


def test_message_on_its_way_to_a_worker_that_ends_goes_back_at_once() -> None:
    """It would wait for the worker's last task."""
    made = world([Task(10.0)], workers=1)
    (worker,) = made.workers
    worker.consumer.is_running = False
    message = Message(Task(0.001), "queue")

    worker.dispatcher.receive(message)  # type: ignore[arg-type] # it has what the dispatcher uses

    assert message.acknowledged
    assert not worker.ran


def test_worker_at_its_limit_of_tasks_with_an_eta_opens_no_consumer_without_a_limit() -> None:
    """A prefetch count of 0 is no limit at RabbitMQ."""
    made = world([Task(0.001)], workers=1)
    (worker,) = made.workers
    made.run()
    worker.dispatcher._most_scheduled = 1  # noqa: SLF001 the setting `worker_eta_task_limit`
    request = Request(eta="later")
    state.scheduled_requests.add(request)  # type: ignore[attr-defined] # celery-types lacks it
    try:
        assert worker.dispatcher.window == 0
        worker.dispatcher.follow(1)
    finally:
        state.scheduled_requests.discard(request)  # type: ignore[attr-defined] # celery-types lacks it


@pytest.mark.parametrize("seconds", [0.03, 0.06, 0.2])
def test_nothing_comes_in_advance_for_tasks_about_as_long_as_the_budget(seconds: float) -> None:
    """What is held behind one of them would go back, however often a slot has waited for the broker."""
    made = world([Task(seconds) for _ in range(300)])

    made.run()

    assert sum(worker.dispatcher.given_back for worker in made.workers) == 0


def test_consumers_are_not_replaced_while_a_slow_broker_may_have_sent_something() -> None:
    """A quorum queue would take it back, and count it as if a worker had died."""
    made = world([Task(0.001) for _ in range(100)], workers=1)
    (worker,) = made.workers
    made.run()
    ended = made.broker.clock.now
    opened = worker.opened
    assert opened > 1

    made.broker.clock.run(lambda: worker.opened > opened, until=ended + 60)

    assert made.broker.clock.now - ended >= IDLE_S
    assert worker.opened == opened + 1
