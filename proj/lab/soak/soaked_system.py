"""The system under test of a soak: that of a drill, with many short tasks, a recorder and a dashboard."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from proj.lab.drills.system.processes import worker
from proj.lab.drills.system.system_under_test import SLOTS, WORKERS, Needs, SystemUnderTest
from proj.lab.processes.environment import child_environment
from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.process import Process
from proj.lab.processes.supervisor import Supervisor
from proj.lab.soak.recent_evidence import RecentEvidence
from proj.queues import WORK_QUEUE

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

#: The most tasks that the end of a worker lets run again (docs/dispatch.md): in each slot the one that runs, 8 in its
#: pipe, and 9 whose ends were not read; and 8 whose acknowledgements were to be written together.
AGAIN_OF_WORKER = SLOTS * (1 + 8 + 9) + 8
#: The most that a lost connection of a worker does: what it holds (`proj.delivery.dispatch.ahead.MOST`).
AGAIN_OF_CONNECTION = 256


class SoakedSystem(SystemUnderTest):
    """Two supervised workers and a steady one, a publisher of many tasks, a recorder and a dashboard.

    No fault kills the steady worker or its pool processes, so that they live long enough to show how they grow.
    """

    evidence: RecentEvidence

    def __init__(
        self, name: str, *, broker: Broker, guard: Guard, queue_type: str, dispatch: str, cancel: threading.Event
    ) -> None:
        """Prepare everything; nothing is started before `start`. Setting `cancel` ends every wait."""
        super().__init__(
            name,
            Needs(through_proxy=True),
            broker=broker,
            guard=guard,
            queue_type=queue_type,
            dispatch=dispatch,
            cancel=cancel,
        )
        self.evidence = RecentEvidence(self.evidence.path)
        # The last one: faults strike the first `WORKERS`.
        self._steady = Supervisor(
            worker(
                f"{name}-steady@drill",
                guard=guard,
                environment=self.environment,
                queue=WORK_QUEUE,
                slots=SLOTS,
                settings={},
            )
        )
        self.workers.append(self._steady)
        self.publisher = Process(
            f"{name}-publisher",
            [sys.executable, "-m", "proj.lab.soak.publisher"],
            guard=guard,
            environment=child_environment(**self.environment),
            log=guard.folder / f"{name}-publisher.log",
        )
        self._flower = FlowerProcess(guard, broker_url=broker.url(name), management_url=broker.management_url)
        journal = Process(
            f"{name}-recorder",
            [*(sys.executable, "-m", "celery", "-A", "proj", "journal", "record"), "-o", str(guard.folder / "journal")],
            guard=guard,
            environment=child_environment(CELERY_BROKER_URL=broker.url(name)),
            log=guard.folder / f"{name}-recorder.log",
        )
        # They may end while the broker is away, as workers may.
        self._watching = {"recorder": Supervisor(journal), "dashboard": Supervisor(self._flower)}
        self._watched = ExitStack()

    def start(self) -> None:
        """Start everything, and return when tasks are being done and the dashboard answers.

        Raises:
            DeadlinePassed: that took too long.
        """
        super().start()
        for supervisor in self._watching.values():
            self._watched.enter_context(supervisor)
        self._flower.wait_until_ready(self._flower.hears, timeout_s=60)

    def stop(self) -> None:
        """End everything; safe to call twice and before `start`."""
        self._watched.close()
        super().stop()

    def processes(self) -> dict[str, list[int]]:
        """The ids of the processes of each role now."""
        return {
            "worker": [supervisor.pid for supervisor in self.workers[:WORKERS]],
            "pool process": [pid for supervisor in self.workers[:WORKERS] for pid in sorted(supervisor.children())],
            "steady worker": [self._steady.pid],
            "its pool process": sorted(self._steady.children()),
            "publisher": [self.publisher.pid],
            **{role: [supervisor.pid] for role, supervisor in self._watching.items()},
        }

    @contextmanager
    def hitting(self, window: int | None) -> Iterator[None]:
        """Record the block as one hit; short tasks are many, so a hit reaches more of them than in a drill."""
        if window is not None:
            window = AGAIN_OF_WORKER if window <= self.window else len(self.workers) * AGAIN_OF_CONNECTION
        with super().hitting(window):
            yield
