"""A pipeline on a virtual host of its own: workers for each stage, its messages, and their end stage after stage."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils import uuid

from proj.broker.connection import connected
from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import Gauge, depths_by_declare
from proj.delivery.shutdown.drain import drain, remainder
from proj.delivery.shutdown.halt_workers import halt_workers
from proj.errors import DeadlinePassed
from proj.interruption import raise_if_interrupted
from proj.journal.recording.listener import Listener
from proj.journal.records import Run
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.depth_sampler import DepthSampler
from proj.lab.runs.pipeline_stages import STAGES, doubled, ids_by_stage, lost, printed
from proj.lab.runs.run_journal import RunJournal
from proj.lab.runs.worker_info import ask_run_workers
from proj.queues import QUORUM, quarantine_queue
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu import Connection

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker as WorkerRecord
    from proj.journal.writer import JournalWriter
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.runs.pipeline_stages import PipelineStage, Printed

#: Seconds until all workers must consume and answer; five were measured for four workers on two cores.
WORKERS_TIMEOUT_S = 60.0
#: Seconds that a stage may take beyond its work, until its queue is empty; and until its workers are gone.
PATIENCE_S = 60.0
#: Seconds until what the workers did must be heard, when they have done it.
HEARD_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class PipelineSetup:
    """What is run."""

    messages: Sequence[str]
    #: Workers of one slot, by the name of the stage.
    workers: Mapping[str, int]
    #: Seconds of work a dot.
    dot_seconds: float = 1.0
    dispatch: str = "fair"
    queue_type: str = QUORUM

    @property
    def settings(self) -> dict[str, Any]:
        """What a journal keeps of it."""
        return {
            "workload": "pipeline",
            "messages": len(self.messages),
            "stages": " ".join(f"{name}={count}" for name, count in self.workers.items()),
            "dot_seconds": self.dot_seconds,
            "queue_type": self.queue_type,
        }


@dataclass(frozen=True, kw_only=True)
class PipelineOutcome:
    """What became of the messages: by the workers' own logs what was printed, by their events when all else was."""

    #: Of each stage by its name, in the order of the stages.
    attempts: Mapping[str, Sequence[Attempt]]
    workers: Sequence[WorkerRecord]
    slots: Mapping[str, int]
    #: For each message, the ids of its tasks from stage to stage.
    ids: Sequence[Sequence[str]]
    printed: Sequence[Printed]
    #: Messages that were not printed, and those that were printed again.
    lost: Sequence[str]
    doubled: Sequence[str]


class Pipeline(Service):
    """Workers of one slot for each stage, and what they do with the messages."""

    def __init__(self, name: str, setup: PipelineSetup, *, broker: Broker, guard: Guard, writer: JournalWriter) -> None:
        """Prepare everything; nothing is started before `start`."""
        self.name = name
        self.setup = setup
        self._broker = broker
        self._writer = writer
        self._client = Celery("proj.lab", set_as_current=False)
        self._client.config_from_object("celeryconfig")
        # Both, since a CELERY_BROKER_URL of the user would overrule `broker_url`.
        self._client.conf.update(
            broker_read_url=broker.url(name),
            broker_write_url=broker.url(name),
            task_create_missing_queue_type=setup.queue_type,
        )
        self._listener = Listener(self._client, self._client.connection_for_read())
        self._samplers = [
            DepthSampler(
                stage.queue,
                connection=self._client.connection_for_read(),
                management=broker.management,
                vhost=name,
            )
            for stage in STAGES
        ]
        self._ids = ids_by_stage([uuid() for _ in setup.messages])
        self._journal = RunJournal(
            name,
            listener=self._listener,
            samplers=self._samplers,
            writer=writer,
            tasks={task_id: stage.task for stage in STAGES for task_id in self._ids[stage.name]},
        )
        self._workers = {
            stage.name: [self._worker(stage, number, guard) for number in range(1, setup.workers[stage.name] + 1)]
            for stage in STAGES
        }
        self._roll: list[WorkerRecord] = []
        self._running = ExitStack()

    def start(self) -> None:
        """Start everything, and return when every worker consumes and has answered.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: they took too long.
        """
        self._broker.add_vhost(self.name)
        self._running.callback(self._broker.remove_vhost, self.name)
        self._running.callback(self._client.pool.force_close_all)  # type: ignore[attr-defined] # unlike celery-types
        self._running.enter_context(self._listener)
        for worker in self._all_workers:
            self._running.callback(worker.kill)
            worker.start()
        with connected(self._client.connection_for_read()) as connection:
            wait_until(
                lambda: self._all_consume(connection), what="all workers to consume", timeout_s=WORKERS_TIMEOUT_S
            )
        wait_until(self._all_answer, what="all workers to answer", timeout_s=WORKERS_TIMEOUT_S)
        for sampler in self._samplers:
            self._running.enter_context(sampler)

    def stop(self) -> None:
        """Keep what is known, and stop everything; safe to call twice and before `start`."""
        try:
            self._journal.save()
        finally:
            self._running.close()

    def run(self, machine: dict[str, Any], *, on_progress: Callable[[int], None]) -> PipelineOutcome:
        """Send all messages, and let one stage after the other run empty and its workers leave.

        Args:
            machine: what the journal keeps of where it runs.
            on_progress: is told again and again how many messages have left the last stage.

        Raises:
            ProcessEnded: a worker ended by itself.
            DeadlinePassed: a queue did not run empty, or a worker did not leave.
        """
        self._writer.add_run(
            Run(
                name=self.name,
                dispatch=self.setup.dispatch,
                began=time.time(),
                settings=self.setup.settings,
                machine=machine,
            )
        )
        self._writer.commit()
        self._publish()
        gauge = Gauge(self._client, broker_api=self._broker.management_url)
        with ControlBus(self._client) as bus:
            for place, stage in enumerate(STAGES):
                there = [worker for later in STAGES[place:] for worker in self._workers[later.name]]
                self._drain(stage, bus, gauge, partial(self._tick, there, on_progress))
                self._answers()
                self._halt(stage, bus)
        self._await_events()
        on_progress(self._left())
        self._journal.finish()
        return self._outcome()

    def _publish(self) -> None:
        first = STAGES[0]
        connection = self._client.connection_for_write()
        with connection, self._client.amqp.Producer(connection) as producer:
            for task_id, message in zip(self._ids[first.name], self.setup.messages, strict=True):
                raise_if_interrupted()
                self._client.send_task(
                    first.task, (message,), task_id=task_id, queue=first.queue, producer=producer, ignore_result=True
                )

    def _drain(self, stage: PipelineStage, bus: ControlBus, gauge: Gauge, tick: Callable[[], None]) -> None:
        nodes = [worker.node for worker in self._workers[stage.name]]
        drain(
            lambda: remainder(bus, gauge, queues={stage.queue, quarantine_queue(stage.queue)}, nodes=nodes),
            what=f"the queue {stage.queue}",
            timeout_s=PATIENCE_S + len(self.setup.messages) * stage.dots * self.setup.dot_seconds,
            progress=lambda _: tick(),
        )

    def _halt(self, stage: PipelineStage, bus: ControlBus) -> None:
        nodes = [worker.node for worker in self._workers[stage.name]]
        halted = halt_workers(
            bus, nodes, listening=frozenset(nodes), timeout_s=PATIENCE_S, progress=lambda _: self._journal.save()
        )
        if remaining := [each.worker for each in halted if not each.stopped]:
            raise DeadlinePassed(f"the end of {', '.join(remaining)}", PATIENCE_S)

    def _tick(self, workers: Sequence[Worker], on_progress: Callable[[int], None]) -> None:
        raise_if_interrupted()
        refuse_ended(workers)
        self._journal.save_seldom()
        on_progress(self._left())

    def _left(self) -> int:
        """How many messages have left the last stage."""
        done = {attempt.task_id for attempt in self._listener.attempts if attempt.succeeded}
        return len(done.intersection(self._ids[STAGES[-1].name]))

    def _await_events(self) -> None:
        """Return when the end of all work was heard, or will not be: what was printed does not hang on it."""
        every = {task_id for ids in self._ids.values() for task_id in ids}
        end = time.monotonic() + HEARD_TIMEOUT_S

        def heard() -> bool:
            done = {attempt.task_id for attempt in self._listener.attempts if attempt.succeeded}
            return every <= done or time.monotonic() >= end

        wait_until(heard, what="the end of all work", timeout_s=2 * HEARD_TIMEOUT_S)

    def _outcome(self) -> PipelineOutcome:
        attempts = self._journal.attempts()
        last = dict(zip(self._ids[STAGES[-1].name], self.setup.messages, strict=True))
        lines = printed(self._workers[STAGES[-1].name])
        return PipelineOutcome(
            attempts={stage.name: [attempt for attempt in attempts if attempt.name == stage.task] for stage in STAGES},
            workers=self._roll,
            slots=self.setup.workers,
            ids=list(zip(*self._ids.values(), strict=True)),
            printed=lines,
            lost=lost(last, lines),
            doubled=doubled(last, lines),
        )

    @property
    def _all_workers(self) -> list[Worker]:
        return [worker for stage in STAGES for worker in self._workers[stage.name]]

    def _worker(self, stage: PipelineStage, number: int, guard: Guard) -> Worker:
        return Worker(
            f"{stage.letter}{number}@{self.name}",
            guard=guard,
            broker_url=self._broker.url(self.name),
            queue=stage.queue,
            dispatch=self.setup.dispatch,
            slots=1,
            dot_seconds=self.setup.dot_seconds,
            queue_type=self.setup.queue_type,
        )

    def _all_consume(self, connection: Connection) -> bool:
        refuse_ended(self._all_workers)
        depths = depths_by_declare(connection, [stage.queue for stage in STAGES])
        return {depth.name: depth.consumers for depth in depths} == {
            stage.queue: self.setup.workers[stage.name] for stage in STAGES
        }

    def _all_answer(self) -> bool:
        return self._answers() == len(self._all_workers)

    def _answers(self) -> int:
        """Ask the workers what they are and how much they have begun, keep it, and count those that answered."""
        nodes = [worker.node for worker in self._all_workers if worker.running]
        started = Counter(attempt.worker for attempt in self._journal.attempts() if attempt.started is not None)
        answers = ask_run_workers(self._client, nodes, started_seen=started)
        self._roll = [*(known for known in self._roll if known.name not in {each.name for each in answers}), *answers]
        self._writer.put_workers(answers)
        self._writer.commit()
        return len(answers)
