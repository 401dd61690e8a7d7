"""A measured run: one workload in one dispatch mode, on new workers and a new virtual host, kept in a journal."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.dots import duration_s
from proj.interruption import raise_if_interrupted
from proj.journal.recording.listener import Listener
from proj.journal.records import Run
from proj.lab.processes.waiting import POLL_INTERVAL_S, wait_until
from proj.lab.processes.worker import Worker, refuse_ended
from proj.lab.runs.depth_sampler import DepthSampler, empty_for_s
from proj.lab.runs.run_journal import RunJournal
from proj.lab.runs.run_marks import mark_began, mark_ended
from proj.lab.runs.worker_info import ask_run_workers
from proj.queues import QUORUM, WORK_QUEUE, work_queue
from proj.service import Service
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu import Connection

    from proj.journal.attempt import Attempt
    from proj.journal.writer import JournalWriter
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.runs.workload import Message

#: Seconds until all workers must consume and answer; five were measured for four workers on two cores.
WORKERS_TIMEOUT_S = 60.0
#: Seconds that all work may take beyond what one slot alone would need: more, and it is lost.
PATIENCE_S = 60.0
#: Seconds for which the broker must hold nothing before work that a killed worker had begun is given up; the count
#: of what is unacknowledged is up to a tick of half a second old.
GIVE_UP_S = 3.0

_ENDED = {"succeeded", "failed", "revoked", "expired"}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is tried; JSON types only, since the journal keeps it as the run's settings."""

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
    #: Seconds after the first publish at which one worker is killed; None for never.
    kill_worker_at_s: float | None = None
    #: Which of several like it, from 1.
    repeat: int = 1


class MeasuredRun(Service):
    """The workers of one run, and what becomes of its messages."""

    def __init__(
        self,
        name: str,
        setup: Setup,
        messages: Sequence[Message],
        *,
        broker: Broker,
        guard: Guard,
        writer: JournalWriter,
    ) -> None:
        """Prepare everything; nothing is started before `start`."""
        self.name = name
        self.setup = setup
        self._messages = messages
        self._broker = broker
        self._guard = guard
        self._writer = writer
        self._url = broker.url(name)
        # Named after the run, so that a journal's workers can be told apart by the queue of its attempts.
        self._queue = work_queue(setup.queue_type, f"{WORK_QUEUE}.{name}")
        self._client = Celery("proj.lab", set_as_current=False)
        self._client.config_from_object("celeryconfig")
        # The publisher delays messages in the broker only when it knows of a quorum queue, as the workers do.
        self._client.conf.update(
            task_queues=(self._queue,),
            task_default_queue=self._queue.name,
            task_default_routing_key=self._queue.name,
            # Both, since a CELERY_BROKER_URL of the user would overrule `broker_url`.
            broker_read_url=self._url,
            broker_write_url=self._url,
        )
        self._listener = Listener(self._client, self._client.connection_for_read())
        self._sampler = DepthSampler(
            self._queue.name,
            connection=self._client.connection_for_read(),
            management=broker.management,
            vhost=name,
        )
        self._workers: list[Worker] = []
        self._killed: Worker | None = None
        self._kill_time = float("inf")
        #: The name of each task, by its id.
        self._sent: dict[str, str] = {}
        self._journal = RunJournal(
            name, listener=self._listener, samplers=(self._sampler,), writer=writer, tasks=self._sent
        )
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
        for _ in range(self.setup.workers):
            self._add_worker()
        with connected(self._client.connection_for_read()) as connection:
            wait_until(
                lambda: self._all_consume(connection), what="all workers to consume", timeout_s=WORKERS_TIMEOUT_S
            )
        wait_until(self._all_answer, what="all workers to answer", timeout_s=WORKERS_TIMEOUT_S)
        self._running.enter_context(self._sampler)

    def stop(self) -> None:
        """Keep what is known, and stop everything; safe to call twice and before `start`."""
        try:
            self._journal.save()
        finally:
            # Nothing that they could still do is wanted, and an orderly end of each takes a second.
            for worker in self._workers:
                worker.kill()
            self._running.close()

    def run(self, machine: dict[str, Any], *, on_progress: Callable[[], None]) -> None:
        """Send all messages at their times, and return when their work has ended; calls back again and again.

        Raises:
            ProcessEnded: a worker ended that was not killed.
            DeadlinePassed: work is missing.
        """
        with self._client.connection_for_write() as connection:
            mark_began(self._client, connection, run=self.name, queues=[self._queue.name])
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
        with self._client.connection_for_write() as connection:
            mark_ended(self._client, connection, run=self.name, queues=[self._queue.name])
        self._all_answer()
        self._journal.finish()

    @property
    def ended(self) -> int:
        """How many messages' work has ended."""
        return len(self._sent) - len(self._unfinished())

    @property
    def killed(self) -> bool:
        """Whether a worker was killed; not, when the work had ended before its time."""
        return self._killed is not None

    @property
    def lost(self) -> int:
        """How many messages the killed worker took with it."""
        return len(self._unfinished()) if self._killed is not None else 0

    def attempts(self) -> list[Attempt]:
        """What is known of the messages by now."""
        return self._journal.attempts()

    @property
    def _patience_s(self) -> float:
        dot_s = self.setup.dot_seconds
        work_s = sum(duration_s(message.text, dot_s) for message in self._messages)
        return PATIENCE_S + work_s + max(countdown_s((message.due_dots or 0.0) * dot_s) for message in self._messages)

    def _publish(self, began: float, on_progress: Callable[[], None]) -> None:
        dot_s = self.setup.dot_seconds
        connection = self._client.connection_for_write()
        with connection, self._client.amqp.Producer(connection) as producer:
            tick = began
            for message in sorted(self._messages, key=lambda message: message.sent_dots):
                due = began + message.sent_dots * dot_s
                while (now := time.time()) < due or now >= tick:
                    if now >= tick:
                        self._tick(on_progress)
                        tick = time.time() + POLL_INTERVAL_S
                    else:
                        time.sleep(min(due, tick) - now)
                result = self._client.send_task(
                    work.name,
                    (message.text,),
                    countdown=None if message.due_dots is None else countdown_s(message.due_dots * dot_s),
                    queue=self._queue.name,
                    producer=producer,
                    ignore_result=True,
                )
                self._sent[result.id] = work.name

    def _tick(self, on_progress: Callable[[], None]) -> bool:
        """Do what is due, and say whether all work has ended."""
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
        """The messages whose work has not ended, with the latest attempt at each."""
        latest: dict[str, Attempt | None] = dict.fromkeys(self._sent)
        for attempt in self._listener.attempts:
            if attempt.task_id in latest:
                latest[attempt.task_id] = attempt
        return {task: attempt for task, attempt in latest.items() if attempt is None or attempt.state not in _ENDED}

    def _all_ended(self) -> bool:
        """Whether nothing remains to be done, or only what a killed worker had acknowledged before its work."""
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
            broker_url=self._url,
            queue=self._queue.name,
            dispatch=self.setup.dispatch,
            slots=self.setup.slots,
            dot_seconds=self.setup.dot_seconds,
            queue_type=self.setup.queue_type,
        )
        self._workers.append(worker)
        self._running.enter_context(worker)

    def _all_consume(self, connection: Connection) -> bool:
        refuse_ended(self._workers)
        depths = depths_by_declare(connection, [self._queue.name])
        return [depth.consumers for depth in depths] == [self.setup.workers]

    def _all_answer(self) -> bool:
        """Ask the workers what they are, keep it, and say whether all have answered."""
        nodes = [worker.node for worker in self._workers if worker is not self._killed]
        started = Counter(attempt.worker for attempt in self.attempts() if attempt.started is not None)
        answers = ask_run_workers(self._client, nodes, started_seen=started)
        self._writer.put_workers(answers)
        self._writer.commit()
        return len(answers) == len(nodes)


def countdown_s(delay_s: float) -> int:
    """The delay in the whole seconds in which RabbitMQ delays; Celery refuses to hand it less than one."""
    return max(1, round(delay_s))
