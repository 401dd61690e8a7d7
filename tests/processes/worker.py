"""Starts `celery worker` for a test: as a process of its own, whose log the test can read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.processes.guard import Guard

#: Seconds until a worker must consume, on a busy machine.
READY_TIMEOUT_S = 60.0


def worker_process(
    node: str,
    *options: str,
    guard: Guard,
    broker_url: str,
    app: str = "proj",
    folder: Path | None = None,
    **variables: str,
) -> Process:
    """A worker of the app, which is not started yet; in the dispatch mode of this process's `PROJ_DISPATCH`, if any.

    Args:
        node: its name, `name@host`.
        options: further words of its command line.
        guard: owner of the process.
        broker_url: its CELERY_BROKER_URL.
        app: what stands after `-A`.
        folder: where its log is; the guard's own when none is given.
        variables: further variables of its environment.
    """
    if "PROJ_DISPATCH" in os.environ:
        variables.setdefault("PROJ_DISPATCH", os.environ["PROJ_DISPATCH"])
    return Process(
        f"worker {node}",
        [
            *(sys.executable, "-m", "celery", "-A", app, "worker", "--hostname", node),
            *("--loglevel", "INFO", "--without-mingle", "--without-gossip", *options),
        ],
        guard=guard,
        environment=child_environment(CELERY_BROKER_URL=broker_url, **variables),
        log=(folder or guard.folder) / f"{node}.log",
    )


def wait_until_ready(*workers: Process) -> None:
    """Return when each of the workers has said that it consumes."""
    for worker in workers:
        worker.wait_until_ready(lambda worker=worker: " ready." in worker.log_text(), timeout_s=READY_TIMEOUT_S)
