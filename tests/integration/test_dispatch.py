"""Which worker gets the next message in each dispatch mode, with real workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from proj.broker.queue_depths import depths_by_declare, depths_by_management
from proj.celery import app
from proj.journal.worker_info import ask_workers
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import WORK_QUEUE
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from proj.broker.queue_depths import Depth
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TUTORIAL = ["First message.", "Second message..", "Third message...", "Fourth message....", "Fifth message....."]
TIMEOUT_S = 60


@pytest.fixture
def start_workers(guard: Guard, broker: Broker, vhost: str) -> Iterator[Callable[..., list[Worker]]]:
    """Start `count` workers in a mode, and return when the broker counts them as consumers."""
    started: list[Worker] = []

    def start(dispatch: str, *, count: int, slots: int = 1, dot_seconds: float = 0.05) -> list[Worker]:
        for number in range(count):
            worker = Worker(
                f"{dispatch}-{number}@{vhost}",
                guard=guard,
                broker_url=broker.url(vhost),
                queue=WORK_QUEUE,
                dispatch=dispatch,
                slots=slots,
                dot_seconds=dot_seconds,
            )
            worker.start()
            started.append(worker)
        wait_until(lambda: consumers(broker, vhost) == count, what="the workers", timeout_s=TIMEOUT_S)
        return started

    yield start
    for worker in started:
        worker.kill()


def task_queue(broker: Broker, vhost: str) -> Depth:
    depths = {depth.name: depth for depth in depths_by_management(broker.management, vhost)}
    return depths.get(WORK_QUEUE) or depths["dead_letters"]


def consumers(broker: Broker, vhost: str) -> int:
    with app.connection_for_read(broker.url(vhost)) as connection:
        return sum(depth.consumers for depth in depths_by_declare(connection, [WORK_QUEUE]))


def send(broker: Broker, vhost: str, messages: Sequence[str]) -> None:
    with app.connection_for_write(broker.url(vhost)) as connection, app.amqp.Producer(connection) as producer:
        for message in messages:
            work.apply_async((message,), producer=producer, ignore_result=True)


def printed(worker: Worker, what: str) -> list[str]:
    return re.findall(rf" \[x\] {what} ?(?:'(.*)')?$", worker.log_text(), flags=re.MULTILINE)


def all_done(workers: Sequence[Worker], count: int) -> bool:
    return sum(len(printed(worker, "Done")) for worker in workers) == count


def test_round_robin_deals_odd_and_even_messages_as_the_tutorial_prints(
    broker: Broker, vhost: str, start_workers: Callable[..., list[Worker]]
) -> None:
    """One worker gets the first, third and fifth message, the other the second and fourth."""
    workers = start_workers("round-robin", count=2)

    send(broker, vhost, TUTORIAL)
    wait_until(lambda: all_done(workers, 5), what="all work", timeout_s=TIMEOUT_S)

    assert sorted(printed(worker, "Received") for worker in workers) == [TUTORIAL[0::2], TUTORIAL[1::2]]


@pytest.mark.parametrize("dispatch", ["fair", "adaptive"])
def test_next_message_goes_to_a_free_worker(
    broker: Broker, vhost: str, start_workers: Callable[..., list[Worker]], dispatch: str
) -> None:
    """While one worker works on a heavy message, the other works on all the light ones, odd and even."""
    workers = start_workers(dispatch, count=2)
    heavy, light = "heavy" + "." * 40, [f"light {number}." for number in range(6)]

    send(broker, vhost, [heavy, *light])
    wait_until(lambda: all_done(workers, 7), what="all work", timeout_s=TIMEOUT_S)

    assert sorted(printed(worker, "Received") for worker in workers) == [[heavy], light]


@pytest.mark.parametrize(
    ("dispatch", "ready", "unacknowledged"), [("fair", 4, 2), ("adaptive", 4, 2), ("round-robin", 0, 6)]
)
def test_broker_shows_what_a_worker_of_two_slots_holds(
    broker: Broker,
    vhost: str,
    start_workers: Callable[..., list[Worker]],
    dispatch: str,
    ready: int,
    unacknowledged: int,
) -> None:
    """Fair and adaptive: one unacknowledged message a slot. Round-robin: everything, with a slot for it or not.

    Celery acknowledges early when a task starts, so what round-robin holds is seen before the pool takes it.
    """
    (worker,) = start_workers(dispatch, count=1, slots=2, dot_seconds=60)
    if dispatch == "round-robin":
        unacknowledged -= 2  # the two that run are acknowledged already

    send(broker, vhost, [f"message {number}." for number in range(6)])
    wait_until(
        lambda: (task_queue(broker, vhost).ready, task_queue(broker, vhost).unacknowledged) == (ready, unacknowledged),
        what=f"{ready} ready and {unacknowledged} unacknowledged",
        timeout_s=TIMEOUT_S,
    )

    assert len(printed(worker, "Received")) == 2


@pytest.mark.parametrize(
    ("pool", "dispatch", "warnings"), [("prefork", "adaptive", 0), ("threads", "adaptive", 0), ("solo", "fair", 1)]
)
def test_worker_without_a_mode_is_in_adaptive_dispatch_where_its_pool_can(
    guard: Guard, broker: Broker, vhost: str, *, pool: str, dispatch: str, warnings: int
) -> None:
    """With the pool solo it says once that it is not, and is known to monitors as what it is: one message a slot."""
    worker = worker_process(
        f"{pool}@{vhost}",
        *("--concurrency", "1", "--pool", pool),
        guard=guard,
        broker_url=broker.url(vhost),
    )
    with worker, Celery(broker=broker.url(vhost), set_as_current=False) as client:
        wait_until_ready(worker)
        (told,) = wait_until(lambda: ask_workers(client), what="the worker's answer", timeout_s=TIMEOUT_S)
        worker.kill()

    assert (told.dispatch, told.slots) == (dispatch, 1)
    assert worker.log_text().count("Adaptive dispatch is off, because") == warnings
