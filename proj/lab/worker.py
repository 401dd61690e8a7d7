"""A `celery worker` of our application, as a process of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proj.lab.environment import child_environment
from proj.lab.process import Process

if TYPE_CHECKING:
    from proj.lab.guard import Guard


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
    ) -> None:
        """Name it; nothing is started before `start`."""
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
            ),
            log=guard.folder / f"{node}.log",
        )
        self.node = node
