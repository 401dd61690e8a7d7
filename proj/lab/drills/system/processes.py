"""The processes of a drill: workers, started as users do, and the publisher."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.queues import WORK_QUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.lab.processes.guard import Guard

#: Seconds between heartbeats of a drill's workers. RabbitMQ drops a dead connection after two. With the app's own 10 s,
#: each drill that waits for this would take half a minute.
HEARTBEAT_S = 4


def worker(
    node: str, *, guard: Guard, environment: Mapping[str, str], queue: str, slots: int, settings: Mapping[str, str]
) -> Process:
    """A worker with the tasks of a drill, on one queue; `settings` are Celery settings by name."""
    chosen = {"broker_heartbeat": str(HEARTBEAT_S), **settings}
    return Process(
        f"worker {node}",
        [
            *(sys.executable, "-m", "celery", "-A", "proj.lab.drills.system.tasks", "worker"),
            *("--hostname", node, "--concurrency", str(slots), "--loglevel", "INFO"),
            # Workers consume from the work queue by default.
            *(() if queue == WORK_QUEUE else ("--queues", queue)),
            "--",
            *(f"{name}={value}" for name, value in chosen.items()),
        ],
        guard=guard,
        environment=child_environment(**environment),
        log=guard.folder / f"{node}.log",
    )


def embedded_worker(
    node: str, *, guard: Guard, environment: Mapping[str, str], slots: int, settings: Mapping[str, str]
) -> Process:
    """A process whose worker is a thread, on the work queue; otherwise as `worker`."""
    chosen = {"broker_heartbeat": str(HEARTBEAT_S), **settings}
    return Process(
        f"process of {node}",
        [
            *(sys.executable, "-m", "proj.lab.drills.system.embedded", node, str(slots)),
            *(f"{name}={value}" for name, value in chosen.items()),
        ],
        guard=guard,
        environment=child_environment(**environment),
        log=guard.folder / f"{node}.log",
    )


def publisher(
    name: str, *, guard: Guard, environment: Mapping[str, str], task: str, task_s: float, interval_s: float
) -> Process:
    """The publisher, which calls the named task, `task_s` seconds each, every `interval_s` seconds until SIGTERM."""
    return Process(
        name,
        [sys.executable, "-m", "proj.lab.drills.system.publisher", task, str(task_s), str(interval_s)],
        guard=guard,
        environment=child_environment(**environment),
        log=guard.folder / f"{name}.log",
    )
