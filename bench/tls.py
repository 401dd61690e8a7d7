"""What TLS costs: empty tasks published by `send_many`, one by one by `delay`, and run by a worker, with and without.

    python bench/tls.py 10000 3

The tasks and the rounds. A private broker without TLS and one with it (client certificates too) take turns, one
worker of two processes in adaptive dispatch, a quorum queue. It prints the best seconds of the rounds, and their ratio.

Caveats: publisher, worker and broker share the machine. A worker's seconds count from its first task to its last.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

#: Tasks that are published one by one.
SINGLE = 500
TIMEOUT_S = 300.0
PUBLISH = """
import sys, time
from proj.delivery.send_many import send_many
from proj.tasks import work
tasks, single = map(int, sys.argv[1:])
work.apply_async(("",), ignore_result=True)
began = time.perf_counter()
send_many(work.s("").set(ignore_result=True) for _ in range(tasks))
many = time.perf_counter()
for _ in range(single):
    work.apply_async(("",), ignore_result=True)
print(many - began, time.perf_counter() - many)
"""
ROWS = ("send_many", "delay", "worker")


def main() -> None:
    """Measure in turn, and print the best of each and their ratios."""
    tasks, rounds = map(int, sys.argv[1:])
    found: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for number in range(rounds):
        for secured in (False, True) if number % 2 == 0 else (True, False):
            found[secured].append(_measured(tasks, secured=secured))
            print(secured, found[secured][-1], file=sys.stderr)
    for place, row in enumerate(ROWS):
        plain, tls = (min(each[place] for each in found[secured]) for secured in (False, True))
        print(f"{row}: {plain:.2f} s without TLS, {tls:.2f} s with it, {tls / plain:.2f} times")


def _measured(tasks: int, *, secured: bool) -> tuple[float, float, float]:
    with Guard() as guard, Broker(guard, tls="mutual" if secured else None) as broker:
        variables = {"CELERY_BROKER_URL": broker.url(), "PROJ_DISPATCH": "adaptive"}
        if broker.certificates is not None:
            variables["PROJ_BROKER_CA"] = str(broker.certificates.ca)
            variables["PROJ_BROKER_CERTIFICATE"] = str(broker.certificates.client)
        environment = child_environment(**variables)
        published = subprocess.run(
            [sys.executable, "-c", PUBLISH, str(tasks), str(SINGLE)],
            env={**environment, "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        worker = Process(
            "worker",
            [
                *(sys.executable, "-m", "celery", "-A", "proj", "worker", "--concurrency", "2"),
                *("--loglevel", "INFO", "--without-mingle", "--without-gossip"),
            ],
            guard=guard,
            environment=environment,
            log=guard.folder / f"worker-{secured}.log",
        )
        with worker:
            worker.wait_until_ready(lambda: " succeeded in" in worker.log_text(), timeout_s=TIMEOUT_S)
            began = time.perf_counter()
            before = _done(worker)
            wait_until(lambda: _done(worker) >= tasks + SINGLE + 1, what="the tasks", timeout_s=TIMEOUT_S)
            each_s = (time.perf_counter() - began) / (tasks + SINGLE + 1 - before)
    many, single = map(float, published.stdout.split())
    return many, single, each_s * tasks


def _done(worker: Process) -> int:
    return len(re.findall(" succeeded in", worker.log_text()))


if __name__ == "__main__":
    main()
