"""A race of dispatch modes: the same workload in each mode at the same time, each mode on its own queue."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj import metrics
from proj.celery import app
from proj.interruption import raise_if_interrupted
from proj.journal.recording.listener import Listener
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.run_client import wait_for_consumers
from proj.lab.runs.run_marks import mark_began, mark_ended
from proj.lab.runs.workload import is_light
from proj.queues import WORK_QUEUE
from proj.service import Service
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt
    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.processes.guard import Guard

#: The name of the run on the Dispatch page.
RUN = "demo"


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """The settings of a race."""

    messages: Sequence[str]
    #: Dispatch modes, in the order in which they are shown.
    modes: Sequence[str] = ("round-robin", "fair", "adaptive")
    #: Workers of each mode.
    workers: int = 2
    #: Slots of each worker.
    slots: int = 1
    #: Seconds of work a dot.
    dot_seconds: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The figures of one mode, from its workers' events."""

    mode: str
    #: Messages sent, and messages whose task succeeded.
    sent: int
    done: int
    #: Finished tasks, and seconds spent in them, by the name of the worker.
    tasks: dict[str, int]
    busy_s: dict[str, float]
    makespan_s: float
    ideal_s: float
    #: Longest time from publish to start, of light tasks and of all tasks.
    longest_light_wait_s: float
    longest_wait_s: float

    @property
    def ratio(self) -> float:
        """Makespan / ideal; no dispatcher can do better than 1."""
        return self.makespan_s / self.ideal_s if self.ideal_s else 0.0


class ModeRace(Service):
    """The workers of each mode, and the attempts that they report."""

    def __init__(self, plan: RacePlan, *, broker: Broker | Cluster, guard: Guard) -> None:
        """Prepare the workers; nothing is started before `start`."""
        self.plan = plan
        self._broker = broker
        self._workers = {
            mode: [self._worker(mode, number, guard) for number in range(1, plan.workers + 1)] for mode in plan.modes
        }
        self._listener = Listener(app, app.connection_for_read(broker.url(), ssl=False))
        self._message_by_task: dict[str, str] = {}
        self._mode_by_task: dict[str, str] = {}
        self._running = ExitStack()

    def start(self) -> None:
        """Start the workers, and return when each consumes.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: the workers took too long.
        """
        for worker in self._all_workers:
            self._running.enter_context(worker)
        self._running.enter_context(self._listener)
        wait_for_consumers(
            app.connection_for_read(self._broker.url(), ssl=False),
            self._all_workers,
            dict.fromkeys(self._queues, self.plan.workers),
        )

    def stop(self) -> None:
        """Stop everything; safe to call twice and before `start`."""
        done = self._all_done()
        for worker in self._all_workers:
            # Idle workers shut down in order, all at the same time. A busy one would finish its task first, which
            # nobody waits for any more.
            if done:
                worker.terminate()
            else:
                worker.kill()
        self._running.close()

    def publish(self) -> None:
        """Send each message once to the queue of each mode."""
        with (
            app.connection_for_write(self._broker.url(), ssl=False) as connection,
            app.amqp.Producer(connection) as producer,
        ):
            mark_began(app, connection, run=RUN, queues=self._queues)
            for message in self.plan.messages:
                raise_if_interrupted()
                for mode in self.plan.modes:
                    sent = work.apply_async((message,), queue=queue_of(mode), producer=producer, ignore_result=True)
                    self._message_by_task[sent.id] = message
                    self._mode_by_task[sent.id] = mode

    def conclude(self) -> None:
        """Send the mark that ends the run, so that the Dispatch page stops its clock."""
        with app.connection_for_write(self._broker.url(), ssl=False) as connection:
            mark_ended(app, connection, run=RUN, queues=self._queues)

    def nodes(self, mode: str) -> list[str]:
        """The names of the mode's workers."""
        return [worker.node for worker in self._workers[mode]]

    def attempts(self, mode: str) -> list[Attempt]:
        """The attempts at the mode's tasks so far."""
        return [attempt for attempt in self._listener.attempts if self._mode_by_task.get(attempt.task_id) == mode]

    def message(self, attempt: Attempt) -> str:
        """The message of the attempt's task."""
        return self._message_by_task[attempt.task_id]

    def finished(self) -> bool:
        """Whether the workers have reported that all tasks succeeded.

        Raises:
            ProcessEnded: a worker ended before that.
        """
        refuse_ended(self._all_workers)
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
    def _all_workers(self) -> list[Worker]:
        return [worker for workers in self._workers.values() for worker in workers]

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


def queue_of(mode: str) -> str:
    """The queue of a mode; the work queue's policy holds for it too."""
    return f"{WORK_QUEUE}.{mode}"
