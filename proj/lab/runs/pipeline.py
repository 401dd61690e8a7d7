"""Runs a pipeline on a virtual host of its own: starts workers for each stage, sends messages, stops stage by stage."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.utils import uuid

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths
from proj.delivery.shutdown.drain import drain, remainder
from proj.delivery.shutdown.halt_workers import halt_workers
from proj.errors import DeadlinePassed
from proj.interruption import raise_if_interrupted
from proj.journal.records import Run
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.pipeline_stages import STAGES, doubled, ids_by_stage, lost, printed
from proj.lab.runs.run_client import RunClient
from proj.lab.runs.run_journal import RunJournal
from proj.queues import QUORUM, quarantine_queue
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker as WorkerRecord
    from proj.journal.writer import JournalWriter
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.runs.pipeline_stages import PipelineStage, Printed

#: Seconds that a stage may take beyond its work until its queue is empty, and seconds until its workers have ended.
PATIENCE_S = 60.0
#: Seconds for which the events of the last tasks are awaited.
HEARD_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class PipelineSetup:
    """The settings of a pipeline."""

    messages: Sequence[str]
    #: Workers of one slot, by the name of the stage.
    workers: Mapping[str, int]
    #: Seconds of work a dot.
    dot_seconds: float = 1.0
    dispatch: str = "adaptive"
    queue_type: str = QUORUM

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the journal keeps, in JSON types."""
        return {
            "workload": "pipeline",
            "messages": len(self.messages),
            "stages": " ".join(f"{name}={count}" for name, count in self.workers.items()),
            "dot_seconds": self.dot_seconds,
            "queue_type": self.queue_type,
        }


@dataclass(frozen=True, kw_only=True)
class PipelineOutcome:
    """What became of the messages: what was printed, from the workers' logs, and the times, from their events."""

    #: The attempts of each stage, by the stage's name, in the order of the stages.
    attempts: Mapping[str, Sequence[Attempt]]
    workers: Sequence[WorkerRecord]
    slots: Mapping[str, int]
    #: For each message, the ids of its tasks from stage to stage.
    ids: Sequence[Sequence[str]]
    printed: Sequence[Printed]
    #: Messages that were not printed, and messages that were printed more than once.
    lost: Sequence[str]
    doubled: Sequence[str]


class Pipeline(Service):
    """Workers of one slot for each stage, and the messages that go through them."""

    def __init__(self, name: str, setup: PipelineSetup, *, broker: Broker, guard: Guard, writer: JournalWriter) -> None:
        """Prepare everything; nothing is started before `start`."""
        self.name = name
        self.setup = setup
        self._broker = broker
        self._writer = writer
        self._client = RunClient(name, broker=broker, task_create_missing_queue_type=setup.queue_type)
        self._samplers = [self._client.sampler(stage.queue) for stage in STAGES]
        self._ids = ids_by_stage([uuid() for _ in setup.messages])
        self._journal = RunJournal(
            name,
            listener=self._client.listener,
            samplers=self._samplers,
            writer=writer,
            tasks={task_id: stage.task for stage in STAGES for task_id in self._ids[stage.name]},
        )
        self._workers = {
            stage.name: [self._worker(stage, number, guard) for number in range(1, setup.workers[stage.name] + 1)]
            for stage in STAGES
        }
        self._worker_records: list[WorkerRecord] = []
        self._running = ExitStack()

    def start(self) -> None:
        """Start the workers, and return when each consumes and answers.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: the workers took too long.
        """
        self._running.enter_context(self._client)
        for worker in self._all_workers:
            self._running.callback(worker.kill)
            worker.start()
        self._client.wait_until_ready(
            self._all_workers, {stage.queue: self.setup.workers[stage.name] for stage in STAGES}
        )
        self._keep_workers()
        for sampler in self._samplers:
            self._running.enter_context(sampler)

    def stop(self) -> None:
        """Write what is known into the journal, and stop everything; safe to call twice and before `start`."""
        try:
            self._journal.save()
        finally:
            self._running.close()

    def run(self, machine: dict[str, Any], *, on_progress: Callable[[int], None]) -> PipelineOutcome:
        """Send all messages; then wait until each stage in turn is empty, and stop its workers.

        Args:
            machine: the machine and the versions, for the journal.
            on_progress: called repeatedly with the number of messages that have left the last stage.

        Raises:
            ProcessEnded: a worker ended by itself.
            DeadlinePassed: a queue did not become empty, or a worker did not stop.
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
        queue_depths = QueueDepths(self._client.app, broker_api=self._broker.management_url)
        with ControlBus(self._client.app) as bus:
            for place, stage in enumerate(STAGES):
                there = [worker for later in STAGES[place:] for worker in self._workers[later.name]]
                self._drain(stage, bus, queue_depths, partial(self._tick, there, on_progress))
                self._keep_workers()
                self._halt(stage, bus)
        self._await_events()
        on_progress(self._left())
        self._journal.finish()
        return self._outcome()

    def _publish(self) -> None:
        first = STAGES[0]
        app = self._client.app
        connection = app.connection_for_write()
        with connection, app.amqp.Producer(connection) as producer:
            for task_id, message in zip(self._ids[first.name], self.setup.messages, strict=True):
                raise_if_interrupted()
                app.send_task(
                    first.task, (message,), task_id=task_id, queue=first.queue, producer=producer, ignore_result=True
                )

    def _drain(
        self, stage: PipelineStage, bus: ControlBus, queue_depths: QueueDepths, tick: Callable[[], None]
    ) -> None:
        nodes = [worker.node for worker in self._workers[stage.name]]
        drain(
            lambda: remainder(bus, queue_depths, queues={stage.queue, quarantine_queue(stage.queue)}, nodes=nodes),
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
        done = {attempt.task_id for attempt in self._client.listener.attempts if attempt.succeeded}
        return len(done.intersection(self._ids[STAGES[-1].name]))

    def _await_events(self) -> None:
        """Return when all tasks have reported success, or after `HEARD_TIMEOUT_S`: the result does not depend on it."""
        every = {task_id for ids in self._ids.values() for task_id in ids}
        end = time.monotonic() + HEARD_TIMEOUT_S

        def heard() -> bool:
            done = {attempt.task_id for attempt in self._client.listener.attempts if attempt.succeeded}
            return every <= done or time.monotonic() >= end

        wait_until(heard, what="the end of all work", timeout_s=2 * HEARD_TIMEOUT_S)

    def _outcome(self) -> PipelineOutcome:
        attempts = self._journal.attempts()
        last = dict(zip(self._ids[STAGES[-1].name], self.setup.messages, strict=True))
        lines = printed(self._workers[STAGES[-1].name])
        return PipelineOutcome(
            attempts={stage.name: [attempt for attempt in attempts if attempt.name == stage.task] for stage in STAGES},
            workers=self._worker_records,
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
            broker_url=self._client.url,
            queue=stage.queue,
            dispatch=self.setup.dispatch,
            slots=1,
            dot_seconds=self.setup.dot_seconds,
            queue_type=self.setup.queue_type,
        )

    def _keep_workers(self) -> None:
        """Write what the workers that still run say of themselves into the journal."""
        nodes = [worker.node for worker in self._all_workers if worker.running]
        records = self._client.worker_records(nodes, self._journal.attempts())
        heard = {record.name for record in records}
        self._worker_records = [*(known for known in self._worker_records if known.name not in heard), *records]
        self._writer.put_workers(records)
        self._writer.commit()
