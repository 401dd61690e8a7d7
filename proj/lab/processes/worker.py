"""A `celery -A proj worker`, as a process of the lab."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proj.errors import ProcessEnded
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.lab.processes.guard import Guard


class Worker(Process):
    """One worker with `slots` slots on one queue, in one dispatch mode."""

    def __init__(
        self,
        node: str,
        *,
        guard: Guard,
        broker_url: str,
        queue: str,
        dispatch: str,
        slots: int,
        dot_seconds: float,
        queue_type: str | None = None,
    ) -> None:
        """Take the worker's settings; without a `queue_type` it declares queues of the default type."""
        super().__init__(
            f"worker {node}",
            [
                *(sys.executable, "-m", "celery", "-A", "proj", "worker"),
                *("--hostname", node, "--queues", queue, "--concurrency", str(slots)),
                *("--loglevel", "INFO", "--without-mingle", "--without-gossip"),
            ],
            guard=guard,
            environment=child_environment(
                CELERY_BROKER_URL=broker_url,
                PROJ_DISPATCH=dispatch,
                PROJ_DOT_SECONDS=str(dot_seconds),
                **({"PROJ_QUEUE_TYPE": queue_type} if queue_type else {}),
            ),
            log=guard.folder / f"{node}.log",
        )
        self.node = node


def refuse_ended(workers: Iterable[Worker]) -> None:
    """Check that all workers run.

    Raises:
        ProcessEnded: a worker has ended; the error has the end of its log.
    """
    for worker in workers:
        if not worker.running:
            raise ProcessEnded(worker.name, worker.returncode, worker.log_tail())
