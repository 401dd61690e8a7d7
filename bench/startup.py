"""How long importing the app takes, and a worker until it is ready, compared with a bare Celery app.

    python bench/startup.py [ROUNDS]

The apps are measured in turn, on one private broker. It prints the medians and their ratio.

Caveats: the bare app declares the same quorum queue, because Celery prepares native delayed delivery (28 exchanges and
queues) for every app with a quorum queue. `classic` is a bare app without one. Every worker in the environment loads
the commands that proj adds to `celery`, and that of Flower; so the bare workers do, too.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process

BARE = """
from celery import Celery
from kombu import Exchange, Queue

app = Celery("bare")
app.conf.task_default_queue = "task_queue"
app.conf.task_queues = [
    Queue("task_queue", Exchange("tasks", "topic"), "task_queue", queue_arguments={"x-queue-type": "quorum"})
]

@app.task
def work(message):
    pass
"""
CLASSIC = """
from celery import Celery

app = Celery("classic")

@app.task
def work(message):
    pass
"""


def import_s(module: str, guard: Guard) -> float:
    """Seconds in which an interpreter starts, imports the module and ends."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, cwd=guard.folder)
    return time.perf_counter() - begun


def write_bare_apps(guard: Guard) -> None:
    """Put the bare apps where processes of the guard find them."""
    (guard.folder / "bare.py").write_text(BARE)
    (guard.folder / "classic.py").write_text(CLASSIC)


def worker_s(app: str, guard: Guard, broker: Broker, **settings: str) -> float:
    """Seconds until a worker of the app, with `settings` in its environment, logs that it is ready."""
    log = guard.folder / f"{app}-{time.time_ns()}.log"
    vhost = f"{app}-{time.time_ns()}"
    worker = Process(
        f"worker of {app}",
        [sys.executable, "-m", "celery", "-A", app, "worker", "--concurrency", "1", "--loglevel", "INFO"],
        guard=guard,
        environment=child_environment(CELERY_BROKER_URL=broker.add_vhost(vhost), **settings),
        log=log,
    )
    begun = time.perf_counter()
    with worker:
        worker.wait_until_ready(lambda: " ready." in worker.log_text(), timeout_s=60)
        took = time.perf_counter() - begun
    broker.remove_vhost(vhost)
    return took


def main() -> None:
    """Measure, and print a line for imports and one for workers."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with Guard() as guard, Broker(guard) as broker:
        write_bare_apps(guard)
        imports: dict[str, list[float]] = {"proj.celery": [], "bare": [], "classic": []}
        workers: dict[str, list[float]] = {"proj": [], "bare": [], "classic": []}
        for _ in range(rounds):
            for module, times in imports.items():
                times.append(import_s(module, guard))
            for app, times in workers.items():
                times.append(worker_s(app, guard, broker))
    for what, samples in (("import", imports), ("worker ready", workers)):
        ours, bare, classic = (statistics.median(times) for times in samples.values())
        print(f"{what}: proj {ours:.3f} s, bare {bare:.3f} s (ratio {ours / bare:.2f}), classic {classic:.3f} s")


if __name__ == "__main__":
    main()
