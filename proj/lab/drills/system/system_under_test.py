"""The system under test of a drill: broker, workers, publisher and proxy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from proj.broker.queue_depths import depths_by_management
from proj.delivery.dispatch.mode import ADAPTIVE
from proj.errors import NoManagement
from proj.lab.drills.system.client import DrillClient
from proj.lab.drills.system.evidence import FINISHED, STARTED, Evidence, Record, running
from proj.lab.drills.system.pauses import is_new_work_done, unfinished
from proj.lab.drills.system.processes import embedded_worker, publisher, worker
from proj.lab.drills.system.strike import Cancelled, Hit
from proj.lab.drills.system.tasks import LAST_QUEUE
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.supervisor import Supervisor
from proj.lab.processes.waiting import wait_until
from proj.queues import WORK_QUEUE
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.processes.guard import Guard

T = TypeVar("T")

#: Workers, and slots of each: with two of each, a task can be redelivered to another slot or another worker.
WORKERS, SLOTS = 2, 2
#: Seconds of one task, and seconds between two publishes: two or three of the four slots are busy.
TASK_S, INTERVAL_S = 0.1, 0.04
#: Seconds until all workers must consume; 5 s were measured for four workers on two cores.
WORKERS_TIMEOUT_S = 60.0
#: Seconds until a fault must find a running task.
WORK_TIMEOUT_S = 60.0
#: Seconds for which workers may write their stacks into their logs.
STACKS_S = 1.0

#: Prefixes of the queues in which a task may wait: the work queue, queues named after it, and Celery's delay queues.
_WORK = (WORK_QUEUE, "celery_delayed")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a fault needs of the system under test."""

    #: Whether workers and publisher connect through a proxy.
    through_proxy: bool = False
    #: Whether the workers are two stages of a pipeline instead of two workers of one queue.
    pipeline: bool = False
    #: Whether each worker is a thread of a process of someone's own.
    embedded: bool = False
    #: Celery settings of the workers, and lines of rabbitmq.conf.
    worker_settings: Mapping[str, str] = field(default_factory=dict)
    broker_settings: tuple[tuple[str, str], ...] = ()


class SystemUnderTest(Service):
    """Two supervised workers and a publisher on a virtual host of their own, and what is seen of them."""

    def __init__(
        self,
        name: str,
        needs: Needs,
        *,
        broker: Broker | Cluster,
        guard: Guard,
        queue_type: str,
        dispatch: str,
        cancel: threading.Event | None = None,
    ) -> None:
        """Prepare everything; nothing is started before `start`. Setting `cancel` ends every wait."""
        self.name = name
        #: The messages that one worker holds at most. In adaptive dispatch it may ask for one more a slot: as many as
        #: it can begin in a round trip and half the budget, which are none or one with tasks of `TASK_S`.
        self.window = SLOTS * (2 if dispatch == ADAPTIVE else 1)
        self.broker = broker
        self.queue_type = queue_type
        self.evidence = Evidence(guard.folder / f"{name}.evidence")
        #: Ids of the tasks that are the fault, and of the tasks that probe the slots.
        self.guilty: set[str] = set()
        self.probes: set[str] = set()
        self.hits: list[Hit] = []
        #: From when until when work should go on in spite of the fault (seconds since the epoch); None: not measured.
        self.watched: tuple[float, float] | None = None
        #: The queues that the workers consume from: one for all, or one for each stage.
        self.queues = (WORK_QUEUE, LAST_QUEUE) if needs.pipeline else (WORK_QUEUE,)
        self.proxy = Proxy(broker.port) if needs.through_proxy else None
        self.client = DrillClient(broker.url(name), self.evidence.path)
        self._cancel = cancel or threading.Event()
        address = broker.url(name)
        if self.proxy is not None:
            address = address.replace(f":{broker.port}/", f":{self.proxy.port}/")
        #: What workers and publisher have in their environment.
        self.environment = environment = {
            "CELERY_BROKER_URL": address,
            "PROJ_DISPATCH": dispatch,
            "PROJ_QUEUE_TYPE": queue_type,
            "PROJ_LAB_EVIDENCE": str(self.evidence.path),
        }
        #: Faults that end a worker strike the first `WORKERS` of them.
        self.workers = [
            Supervisor(
                embedded_worker(
                    f"{name}-{number}@drill",
                    guard=guard,
                    environment=environment,
                    slots=SLOTS,
                    settings=needs.worker_settings,
                )
                if needs.embedded
                else worker(
                    f"{name}-{number}@drill",
                    guard=guard,
                    environment=environment,
                    queue=self.queues[(number - 1) % len(self.queues)],
                    slots=SLOTS,
                    settings=needs.worker_settings,
                )
            )
            for number in range(1, WORKERS + 1)
        ]
        self.publisher = publisher(
            f"{name}-publisher",
            guard=guard,
            environment=environment,
            task="first" if needs.pipeline else "note",
            task_s=TASK_S,
            # Each message of a pipeline is work for both workers.
            interval_s=len(self.queues) * INTERVAL_S,
        )
        #: When the queue was seen for the first time.
        self.since = 0.0
        self._running = ExitStack()

    def start(self) -> None:
        """Start everything, and return when every worker consumes and tasks are being done.

        Raises:
            DeadlinePassed: that took too long.
        """
        self.broker.add_vhost(self.name)
        self._running.callback(self._remove_vhost)
        if self.proxy is not None:
            self._running.enter_context(self.proxy)
        for supervisor in self.workers:
            self._running.enter_context(supervisor)
        self.wait(
            lambda: self.consumers() >= WORKERS,
            what=f"all workers to consume (their logs: {[str(worker.process.log) for worker in self.workers]})",
            timeout_s=WORKERS_TIMEOUT_S,
        )
        self.since = time.time()
        self._running.callback(self.publisher.kill)
        self.publisher.start()
        self.wait_for_work()

    @property
    def all_slots(self) -> int:
        """Slots of all workers."""
        return WORKERS * SLOTS

    @property
    def all_windows(self) -> int:
        """The messages that all workers hold at most."""
        return WORKERS * self.window

    def stop(self) -> None:
        """End everything; safe to call twice and before `start`."""
        self._running.close()

    # --- What is seen ---------------------------------------------------------------------------

    def wait(self, condition: Callable[[], T], *, what: str, timeout_s: float) -> T:
        """The first true value that `condition` returns.

        Raises:
            DeadlinePassed: there was none within `timeout_s`.
            Cancelled: the drill was interrupted.
        """

        def unless_cancelled() -> T:
            if self._cancel.is_set():
                raise Cancelled("The drill was interrupted.")
            return condition()

        return wait_until(unless_cancelled, what=what, timeout_s=timeout_s)

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`.

        Raises:
            Cancelled: the drill was interrupted.
        """
        if self._cancel.wait(seconds):
            raise Cancelled("The drill was interrupted.")

    def count(self, kind: str) -> int:
        """The number of evidence lines of this kind."""
        return sum(record.kind == kind for record in self.evidence.read())

    def starts(self, task_id: str) -> list[float]:
        """The times at which the task was started, in seconds since the epoch."""
        return [record.time for record in self.evidence.read() if (record.kind, record.task_id) == (STARTED, task_id)]

    def finished(self) -> set[str]:
        """The ids of the finished tasks."""
        return {record.task_id for record in self.evidence.read() if record.kind == FINISHED}

    def wait_for_work(self, tasks: int = 5) -> None:
        """Return when `tasks` more tasks have finished."""
        done = self.count(FINISHED)
        self.wait(
            lambda: self.count(FINISHED) >= done + tasks, what=f"{tasks} tasks to be done", timeout_s=WORK_TIMEOUT_S
        )

    def wait_for_task_on(self, supervisor: Supervisor) -> Record:
        """The start of a task that runs on this worker now."""

        def there() -> list[Record]:
            processes = _processes(supervisor)
            return [record for record in running(self.evidence.read()).values() if record.pid in processes]

        return self.wait(there, what=f"a task on {supervisor.process.name}", timeout_s=WORK_TIMEOUT_S)[-1]

    def wait_for_work_everywhere(self, timeout_s: float) -> float:
        """Wait until every worker has started a task, and return the seconds until then."""
        began = time.time()

        def all_work() -> bool:
            pids = {r.pid for r in self.evidence.read() if r.kind == STARTED and r.time > began}
            return all(pids & _processes(supervisor) for supervisor in self.workers)

        self.wait(all_work, what="every worker to work again", timeout_s=timeout_s)
        return time.time() - began

    def wait_for_new_work(self, timeout_s: float) -> None:
        """Return when a task has ended whose publish began after this call."""
        moment = time.time()
        self.wait(
            lambda: is_new_work_done(self.evidence.read(), moment),
            what="the end of a task that is published now",
            timeout_s=timeout_s,
        )

    def wait_for_old_work(self, moment: float, timeout_s: float) -> None:
        """Return when every task has ended that was confirmed before this moment."""
        self.wait(
            lambda: not unfinished(self.evidence.read(), moment),
            what="the end of all tasks that were published before the fault",
            timeout_s=timeout_s,
        )

    def consumers(self) -> int:
        """The number of consumers of the workers' queues now."""
        depths = [self.client.depth(queue) for queue in self.queues]
        return sum(depth.consumers for depth in depths if depth is not None)

    def held(self) -> int | None:
        """The number of messages in the queues of tasks, ready or unacknowledged; None when the API does not tell."""
        try:
            depths = depths_by_management(self.broker.management, self.name)
        except NoManagement:
            return None
        counts = [(depth.ready, depth.unacknowledged) for depth in depths if depth.name.startswith(_WORK)]
        if any(unacknowledged is None for _, unacknowledged in counts):
            return None
        return sum(ready + (unacknowledged or 0) for ready, unacknowledged in counts)

    def keep(self, folder: Path) -> None:
        """Copy the evidence and the logs into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        logs = [supervisor.process.log for supervisor in self.workers]
        for path in (self.evidence.path, self.publisher.log, *logs):
            if path.exists():
                shutil.copy(path, folder)
        (folder / f"{self.name}-broker.log").write_text(self.broker.log_text())

    # --- What is done ---------------------------------------------------------------------------

    @contextmanager
    def hitting(self, window: int | None) -> Iterator[None]:
        """Record the block as one hit on workers that hold so many messages at most; None for a hit on the broker."""
        began = time.time()
        try:
            yield
        finally:
            self.hits.append(Hit(began=began, ended=time.time(), window=window))

    @contextmanager
    def watching(self, since: float | None = None) -> Iterator[float]:
        """Measure in this block for how long no task ends; the value is its beginning, or `since` (seconds, epoch)."""
        began = since or time.time()
        try:
            yield began
        finally:
            self.watched = (began, time.time())

    def print_stacks(self) -> None:
        """Let every worker write the stacks of its threads into its log, by SIGUSR1."""
        for supervisor in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor.pid, signal.SIGUSR1)
        self.pause(STACKS_S)

    def _remove_vhost(self) -> None:
        if self.broker.running:
            self.broker.remove_vhost(self.name)


def _processes(supervisor: Supervisor) -> set[int]:
    """The ids of the processes that may run the tasks of a worker: its pool, or the process that has it in a thread."""
    return {supervisor.pid, *supervisor.children()}
