"""A measured run: one workload in one dispatch mode, on new workers and a new virtual host, kept in a journal."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from proj.dots import duration_s
from proj.interruption import raise_if_interrupted
from proj.journal.records import Run
from proj.lab.processes.waiting import POLL_INTERVAL_S, wait_until
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.depth_sampler import empty_for_s
from proj.lab.runs.run_client import RunClient
from proj.lab.runs.run_journal import RunJournal
from proj.lab.runs.run_marks import mark_began, mark_ended
from proj.queues import QUORUM, WORK_QUEUE, work_queue
from proj.service import Service
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.writer import JournalWriter
    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.processes.guard import Guard
    from proj.lab.runs.workload import Message

#: Seconds that all work may take beyond the time that one slot would need. After that, work is missing.
PATIENCE_S = 60.0
#: Seconds for which the queue must be empty before the work that a killed worker had started counts as lost. The count
#: of unacknowledged messages may be half a second old.
GIVE_UP_S = 3.0

_ENDED = {"succeeded", "failed", "revoked", "expired"}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings of a run; JSON types only, because the journal keeps them."""

    #: The name of the workload, and how many messages of it.
    workload: str
    messages: int
    seed: int
    dispatch: str
    #: Workers, and slots of each.
    workers: int = 2
    slots: int = 1
    #: Seconds of work a dot.
    dot_seconds: float = 0.1
    queue_type: str = QUORUM
    #: Seconds after the first publish at which one worker is killed; None for no kill.
    kill_worker_at_s: float | None = None
    #: The number of the repetition, from 1.
    repeat: int = 1


class MeasuredRun(Service):
    """The workers of one run, its messages, and the journal that it is written into."""

    def __init__(
        self,
        name: str,
        setup: Setup,
        messages: Sequence[Message],
        *,
        broker: Broker | Cluster,
        guard: Guard,
        writer: JournalWriter,
    ) -> None:
        """Prepare everything; nothing is started before `start`."""
        self.name = name
        self.setup = setup
        self._messages = messages
        self._guard = guard
        self._writer = writer
        # The queue has the run's name, so a journal with several runs shows which workers belong to which.
        self._queue = work_queue(setup.queue_type, f"{WORK_QUEUE}.{name}")
        self._client = RunClient(
            name,
            broker=broker,
            # The app delays messages in RabbitMQ only when it knows of a quorum queue, as the workers do.
            task_queues=(self._queue,),
            task_default_queue=self._queue.name,
            task_default_routing_key=self._queue.name,
        )
        self._sampler = self._client.sampler(self._queue.name)
        self._workers: list[Worker] = []
        self._killed: Worker | None = None
        self._kill_time = float("inf")
        #: The name of each task, by its id.
        self._sent: dict[str, str] = {}
        self._journal = RunJournal(
            name, listener=self._client.listener, samplers=(self._sampler,), writer=writer, tasks=self._sent
        )
        self._running = ExitStack()

    def start(self) -> None:
        """Start the workers, and return when each consumes and answers.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: the workers took too long.
        """
        self._running.enter_context(self._client)
        for _ in range(self.setup.workers):
            self._add_worker()
        self._client.wait_until_ready(self._workers, {self._queue.name: self.setup.workers})
        self._keep_workers()
        self._running.enter_context(self._sampler)

    def stop(self) -> None:
        """Write what is known into the journal, and stop everything; safe to call twice and before `start`."""
        try:
            self._journal.save()
        finally:
            # Their work is not needed any more, and a warm shutdown takes a second for each.
            for worker in self._workers:
                worker.kill()
            self._running.close()

    def run(self, machine: dict[str, Any], *, on_progress: Callable[[], None]) -> None:
        """Send all messages at their times, and return when their work has ended; calls `on_progress` repeatedly.

        Raises:
            ProcessEnded: a worker ended by itself.
            DeadlinePassed: some work did not end in time.
        """
        app = self._client.app
        with app.connection_for_write() as connection:
            mark_began(app, connection, run=self.name, queues=[self._queue.name])
        began = time.time()
        settings = {key: value for key, value in asdict(self.setup).items() if key != "dispatch" and value is not None}
        self._writer.add_run(
            Run(name=self.name, dispatch=self.setup.dispatch, began=began, settings=settings, machine=machine)
        )
        self._writer.commit()
        if self.setup.kill_worker_at_s is not None:
            self._kill_time = began + self.setup.kill_worker_at_s
        self._publish(began, on_progress)
        wait_until(lambda: self._tick(on_progress), what="the end of all work", timeout_s=self._patience_s)
        with app.connection_for_write() as connection:
            mark_ended(app, connection, run=self.name, queues=[self._queue.name])
        self._keep_workers()
        self._journal.finish()

    @property
    def ended(self) -> int:
        """How many messages have been worked on to the end, with success or without."""
        return len(self._sent) - len(self._unfinished())

    @property
    def killed(self) -> bool:
        """Whether a worker was killed; False when all work ended before the time of the kill."""
        return self._killed is not None

    @property
    def lost(self) -> int:
        """How many messages were lost with the killed worker."""
        return len(self._unfinished()) if self._killed is not None else 0

    def attempts(self) -> list[Attempt]:
        """The attempts at the run's messages so far."""
        return self._journal.attempts()

    @property
    def _patience_s(self) -> float:
        dot_s = self.setup.dot_seconds
        work_s = sum(duration_s(message.text, dot_s) for message in self._messages)
        return PATIENCE_S + work_s + max(countdown_s((message.due_dots or 0.0) * dot_s) for message in self._messages)

    def _publish(self, began: float, on_progress: Callable[[], None]) -> None:
        dot_s = self.setup.dot_seconds
        app = self._client.app
        connection = app.connection_for_write()
        with connection, app.amqp.Producer(connection) as producer:
            tick = began
            for message in sorted(self._messages, key=lambda message: message.sent_dots):
                due = began + message.sent_dots * dot_s
                while (now := time.time()) < due or now >= tick:
                    if now >= tick:
                        self._tick(on_progress)
                        tick = time.time() + POLL_INTERVAL_S
                    else:
                        time.sleep(min(due, tick) - now)
                result = app.send_task(
                    work.name,
                    (message.text,),
                    countdown=None if message.due_dots is None else countdown_s(message.due_dots * dot_s),
                    queue=self._queue.name,
                    producer=producer,
                    ignore_result=True,
                )
                self._sent[result.id] = work.name

    def _tick(self, on_progress: Callable[[], None]) -> bool:
        """Kill the worker when it is time, save, report progress, and return whether all work has ended."""
        raise_if_interrupted()
        now = time.time()
        refuse_ended(worker for worker in self._workers if worker is not self._killed)
        if now >= self._kill_time:
            self._kill_time = float("inf")
            self._killed = self._workers[0]
            self._killed.kill()
            self._add_worker()
        self._journal.save_seldom()
        on_progress()
        return self._all_ended()

    def _unfinished(self) -> dict[str, Attempt | None]:
        """The tasks that have not ended, by id, each with its latest attempt."""
        latest: dict[str, Attempt | None] = dict.fromkeys(self._sent)
        for attempt in self._client.listener.attempts:
            if attempt.task_id in latest:
                latest[attempt.task_id] = attempt
        return {task: attempt for task, attempt in latest.items() if attempt is None or attempt.state not in _ENDED}

    def _all_ended(self) -> bool:
        """Whether all tasks have ended; those that the killed worker had acknowledged early never will."""
        unfinished = self._unfinished().values()
        if not unfinished:
            return True
        killed = self._killed
        return (
            killed is not None
            and all(attempt is not None and attempt.worker == killed.node for attempt in unfinished)
            and empty_for_s(self._sampler.samples) >= GIVE_UP_S
        )

    def _add_worker(self) -> None:
        worker = Worker(
            f"worker-{len(self._workers) + 1}@{self.name}",
            guard=self._guard,
            broker_url=self._client.url,
            queue=self._queue.name,
            dispatch=self.setup.dispatch,
            slots=self.setup.slots,
            dot_seconds=self.setup.dot_seconds,
            queue_type=self.setup.queue_type,
        )
        self._workers.append(worker)
        self._running.enter_context(worker)

    def _keep_workers(self) -> None:
        """Write what the workers say of themselves into the journal."""
        nodes = [worker.node for worker in self._workers if worker is not self._killed]
        self._writer.put_workers(self._client.worker_records(nodes, self.attempts()))
        self._writer.commit()


def countdown_s(delay_s: float) -> int:
    """The delay in whole seconds, the unit of Celery's delayed delivery in RabbitMQ; at least 1."""
    return max(1, round(delay_s))
