"""The tutorials' statements about workers, on ours: each run happens once, and the tests check what was seen."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from celery.platforms import EX_FAILURE

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare, depths_by_management
from proj.celery import app
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import WORK_QUEUE
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proj.broker.queue_depths import Depth
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

VHOST = "seed-workers"
TIMEOUT_S = 60


def received(worker: Worker) -> list[str]:
    return re.findall(r" \[x\] Received '(.*)'$", worker.log_text(), flags=re.MULTILINE)


def result(worker: Worker, message: str, key: str) -> str | None:
    """The result of the message from the worker's log; None before it is done."""
    found = re.search(rf"'message': '{re.escape(message)}'.*?'{key}': ([^,}}]+)", worker.log_text())
    return found and found[1]


class System:
    """Workers on one virtual host, and the broker's counts of their queue."""

    def __init__(self, broker: Broker, guard: Guard) -> None:
        self.broker = broker
        self.guard = guard
        self.url = broker.add_vhost(VHOST)
        self.workers: list[Worker] = []

    def start(self, node: str, *, dispatch: str = "adaptive", dot_seconds: float = 1.0) -> Worker:
        worker = Worker(
            f"{node}@seed",
            guard=self.guard,
            broker_url=self.url,
            queue=WORK_QUEUE,
            dispatch=dispatch,
            slots=1,
            dot_seconds=dot_seconds,
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def send(self, *messages: str) -> None:
        with connected(app.connection_for_write(self.url)) as connection, app.amqp.Producer(connection) as producer:
            for message in messages:
                work.apply_async((message,), producer=producer, ignore_result=True)

    def ready(self) -> int:
        return self._now().ready

    def consumers(self) -> int:
        return self._now().consumers

    def unacknowledged(self) -> int | None:
        """The broker's count, which is up to half a second late."""
        depths = depths_by_management(self.broker.management, VHOST)
        return next(depth.unacknowledged for depth in depths if depth.name == WORK_QUEUE)

    def worker_that_received(self, message: str, among: Sequence[Worker]) -> Worker:
        return wait_until(
            lambda: [worker for worker in among if message in received(worker)],
            what=f"someone to receive {message!r}",
            timeout_s=TIMEOUT_S,
        )[0]

    def wait_until_done(self, worker: Worker, message: str) -> None:
        wait_until(
            lambda: result(worker, message, "dots") is not None, what=f"{message!r} to be done", timeout_s=TIMEOUT_S
        )

    def _now(self) -> Depth:
        with connected(app.connection_for_read(self.url)) as connection:
            (depth,) = depths_by_declare(connection, [WORK_QUEUE])
            return depth


@pytest.fixture(scope="module")
def system(broker: Broker, guard: Guard) -> Iterator[System]:
    """One virtual host for both runs, one after the other."""
    system = System(broker, guard)
    yield system
    for worker in system.workers:
        worker.kill()
    broker.remove_vhost(VHOST)


# --- Two workers in fair dispatch, of which one is killed and the other interrupted -----------------


@dataclass
class Fair:
    """The observations."""

    waited_for_a_worker: int
    phone: Worker
    running_without_work: list[bool]
    consumers_without_work: int
    killed: Worker
    heir: Worker
    interrupted_exit: int | None
    left_ready: int


@pytest.fixture(scope="module")
def fair(system: System) -> Fair:
    """A message waits for the first worker; a second one shares the work; one is killed; one gets Ctrl-C."""
    system.send("hello...")
    waited = system.ready()
    phone = system.start("phone")
    system.worker_that_received("hello...", [phone])
    second = system.start("second")
    system.wait_until_done(phone, "hello...")
    wait_until(lambda: system.consumers() == 2, what="the second worker", timeout_s=TIMEOUT_S)
    wait_until(lambda: system.unacknowledged() == 0, what="the acknowledgement", timeout_s=TIMEOUT_S)
    running, consumers = [worker.running for worker in system.workers], system.consumers()

    system.send("heavy.....")
    killed = system.worker_that_received("heavy.....", [phone, second])
    heir = second if killed is phone else phone
    system.send("light")
    system.wait_until_done(heir, "light")
    killed.kill()
    system.worker_that_received("heavy.....", [heir])

    system.send("next.")
    # As the terminal does it: to the worker and to its pool processes.
    os.killpg(heir.pid, signal.SIGINT)
    wait_until(lambda: not heir.running, what="the interrupted worker to leave", timeout_s=TIMEOUT_S)
    return Fair(
        waited_for_a_worker=waited,
        phone=phone,
        running_without_work=running,
        consumers_without_work=consumers,
        killed=killed,
        heir=heir,
        interrupted_exit=heir.returncode,
        left_ready=wait_until(system.ready, what="what was not begun", timeout_s=TIMEOUT_S),
    )


def test_message_waits_until_a_worker_starts(fair: Fair) -> None:
    """It was sent before a worker ran."""
    assert fair.waited_for_a_worker == 1
    assert received(fair.phone)[0] == "hello..."


def test_hello_with_three_dots_takes_three_seconds(fair: Fair) -> None:
    """As measured by the worker."""
    assert 3 <= float(result(fair.phone, "hello...", "seconds") or 0) < 4


def test_worker_that_is_added_shares_the_work(fair: Fair) -> None:
    """While one worker works on a heavy message, the other works on the next one."""
    assert received(fair.heir)[-2:] == ["light", "heavy....."]
    assert "light" not in received(fair.killed)


def test_listening_worker_does_not_terminate_on_its_own(fair: Fair) -> None:
    """Both still run when all work is done."""
    assert fair.running_without_work == [True, True]
    assert fair.consumers_without_work == 2


def test_task_of_a_killed_worker_is_delivered_to_another(fair: Fair) -> None:
    """The other worker runs it again, and sees that it is redelivered."""
    assert result(fair.killed, "heavy.....", "dots") is None
    assert result(fair.heir, "heavy.....", "redelivered") == "True"


def test_worker_that_was_interrupted_finishes_its_message_and_loses_none(fair: Fair) -> None:
    """Better than the tutorials' worker, whose message runs again: after Ctrl-C the worker finishes its message.

    It left by itself, with the exit code that Celery has for Ctrl-C.
    """
    assert fair.interrupted_exit == EX_FAILURE, fair.heir.log_tail()
    assert received(fair.heir)[-1] == "heavy....."
    assert result(fair.heir, "heavy.....", "dots") == "5"
    assert fair.left_ready == 1


# --- A round-robin worker that is killed --------------------------------------------------------------


@dataclass
class RoundRobin:
    """The observations."""

    held: int | None
    waiting_while_it_worked: int
    victim: Worker
    heir: Worker


@pytest.fixture(scope="module")
def round_robin(system: System, fair: Fair) -> RoundRobin:
    """A worker gets five messages, starts the first, and is killed; another worker does the rest."""
    del fair  # played first
    five = [f"{ordinal} of five." for ordinal in ("first", "second", "third", "fourth", "fifth")]
    victim = system.start("victim", dispatch="round-robin", dot_seconds=60)
    wait_until(lambda: system.consumers() == 1, what="the victim", timeout_s=TIMEOUT_S)
    # What the run before left over.
    system.worker_that_received("next.", [victim])
    system.send(*five)
    held = wait_until(
        lambda: system.unacknowledged() == len(five) and system.unacknowledged(),
        what="the broker to count what the victim holds",
        timeout_s=TIMEOUT_S,
    )
    waiting = system.ready()
    victim.kill()
    heir = system.start("heir", dot_seconds=0)
    system.worker_that_received(five[-1], [heir])
    system.wait_until_done(heir, five[-1])
    return RoundRobin(held=held, waiting_while_it_worked=waiting, victim=victim, heir=heir)


def test_round_robin_worker_holds_all_dispatched_messages(round_robin: RoundRobin) -> None:
    """None waits in the queue for another worker."""
    assert round_robin.held == 5
    assert round_robin.waiting_while_it_worked == 0


def test_killed_round_robin_worker_loses_the_message_that_it_was_processing(round_robin: RoundRobin) -> None:
    """It was acknowledged when its task started, so it is not redelivered."""
    assert received(round_robin.victim) == ["next."]
    assert "next." not in received(round_robin.heir)


def test_killed_round_robin_worker_loses_no_message_that_it_had_not_started(round_robin: RoundRobin) -> None:
    """Better than the tutorials' `auto_ack=True`: Celery acknowledges when the task starts, not at delivery."""
    ordinals = [message.partition(" ")[0] for message in received(round_robin.heir)]
    assert sorted(ordinals) == sorted(["first", "second", "third", "fourth", "fifth"])
