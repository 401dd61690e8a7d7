"""A race of dispatch modes: the same workload in each mode at the same time, each mode on its own queue."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj import metrics
from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.celery import app
from proj.interruption import raise_if_interrupted
from proj.journal.recording.listener import Listener
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.run_marks import mark_began, mark_ended
from proj.lab.runs.workload import is_light
from proj.queues import WORK_QUEUE
from proj.service import Service
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu import Connection

    from proj.journal.attempt import Attempt
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

#: The race's name on the Dispatch page.
RUN = "demo"
#: Seconds until all workers must consume; five were measured for four workers on two cores.
WORKERS_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """What is run."""

    messages: Sequence[str]
    #: Dispatch modes, in the order in which they are shown.
    modes: Sequence[str] = ("round-robin", "fair")
    #: Workers a mode.
    workers: int = 2
    #: Slots a worker.
    slots: int = 1
    #: Seconds of work a dot.
    dot_seconds: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one mode did, computed from what its workers reported."""

    mode: str
    #: Messages that were sent, and those whose work was reported done.
    sent: int
    done: int
    #: Finished tasks, and seconds inside them, by the name of the worker.
    tasks: dict[str, int]
    busy_s: dict[str, float]
    makespan_s: float
    ideal_s: float
    #: Between publish and start, of light tasks alone and of all.
    longest_light_wait_s: float
    longest_wait_s: float

    @property
    def ratio(self) -> float:
        """Makespan over ideal: 1 is as good as any dispatcher can be."""
        return self.makespan_s / self.ideal_s if self.ideal_s else 0.0


class ModeRace(Service):
    """The workers of each mode, and what they did with the workload."""

    def __init__(self, plan: RacePlan, *, broker: Broker, guard: Guard) -> None:
        """Prepare the workers; nothing is started before `start`."""
        self.plan = plan
        self._broker = broker
        self._workers = {
            mode: [self._worker(mode, number, guard) for number in range(1, plan.workers + 1)] for mode in plan.modes
        }
        self._listener = Listener(app, app.connection_for_read(broker.url()))
        self._message_by_task: dict[str, str] = {}
        self._mode_by_task: dict[str, str] = {}
        self._running = ExitStack()

    def start(self) -> None:
        """Start everything, and return when every worker consumes.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: they took too long.
        """
        for workers in self._workers.values():
            for worker in workers:
                self._running.enter_context(worker)
        self._running.enter_context(self._listener)
        with connected(app.connection_for_read(self._broker.url())) as connection:
            wait_until(
                lambda: self._all_consume(connection), what="all workers to consume", timeout_s=WORKERS_TIMEOUT_S
            )

    def stop(self) -> None:
        """Stop everything; safe to call twice and before `start`."""
        done = self._all_done()
        for workers in self._workers.values():
            for worker in workers:
                # Idle workers leave in order, all at the same time. One in the middle of its work would finish
                # that first, and nobody waits for it any more.
                if done:
                    worker.terminate()
                else:
                    worker.kill()
        self._running.close()

    def publish(self) -> None:
        """Send every message once to the queue of each mode."""
        with app.connection_for_write(self._broker.url()) as connection, app.amqp.Producer(connection) as producer:
            mark_began(app, connection, run=RUN, queues=self._queues)
            for message in self.plan.messages:
                raise_if_interrupted()
                for mode in self.plan.modes:
                    sent = work.apply_async((message,), queue=queue_of(mode), producer=producer, ignore_result=True)
                    self._message_by_task[sent.id] = message
                    self._mode_by_task[sent.id] = mode

    def conclude(self) -> None:
        """Tell those who watch that all work has ended, so that their figures stand still."""
        with app.connection_for_write(self._broker.url()) as connection:
            mark_ended(app, connection, run=RUN, queues=self._queues)

    def nodes(self, mode: str) -> list[str]:
        """The names of the mode's workers."""
        return [worker.node for worker in self._workers[mode]]

    def attempts(self, mode: str) -> list[Attempt]:
        """What is known of the mode's tasks by now."""
        return [attempt for attempt in self._listener.attempts if self._mode_by_task.get(attempt.task_id) == mode]

    def message(self, attempt: Attempt) -> str:
        """What the attempt works on."""
        return self._message_by_task[attempt.task_id]

    def finished(self) -> bool:
        """Whether the workers reported the end of all work.

        Raises:
            ProcessEnded: a worker ended before that.
        """
        self._check_workers()
        return self._all_done()

    def outcome(self, mode: str) -> Outcome:
        """The figures of one mode so far."""
        attempts = self.attempts(mode)
        nodes = self.nodes(mode)
        return Outcome(
            mode=mode,
            sent=len(self.plan.messages),
            done=sum(attempt.succeeded for attempt in attempts),
            tasks=metrics.tasks_by_worker(attempts, nodes),
            busy_s=metrics.busy_s_by_worker(attempts, nodes),
            makespan_s=metrics.makespan_s(attempts),
            ideal_s=metrics.ideal_s(attempts, slots=self.plan.workers * self.plan.slots),
            longest_light_wait_s=metrics.longest_wait_s(
                attempt for attempt in attempts if is_light(self.message(attempt))
            ),
            longest_wait_s=metrics.longest_wait_s(attempts),
        )

    @property
    def _queues(self) -> list[str]:
        return [queue_of(mode) for mode in self.plan.modes]

    def _worker(self, mode: str, number: int, guard: Guard) -> Worker:
        return Worker(
            f"{mode}-{number}@demo",
            guard=guard,
            broker_url=self._broker.url(),
            queue=queue_of(mode),
            dispatch=mode,
            slots=self.plan.slots,
            dot_seconds=self.plan.dot_seconds,
        )

    def _all_done(self) -> bool:
        done = sum(attempt.succeeded for mode in self.plan.modes for attempt in self.attempts(mode))
        return done == len(self.plan.messages) * len(self.plan.modes)

    def _all_consume(self, connection: Connection) -> bool:
        self._check_workers()
        depths = depths_by_declare(connection, self._queues)
        return [depth.consumers for depth in depths] == [self.plan.workers] * len(self.plan.modes)

    def _check_workers(self) -> None:
        for workers in self._workers.values():
            refuse_ended(workers)


def queue_of(mode: str) -> str:
    """The queue of a mode: of the same kind as the work queue and under the same policy."""
    return f"{WORK_QUEUE}.{mode}"
