"""A pool process in which a task had no memory, on a real broker."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

TIMEOUT_S = 60
#: Bytes of memory that a process may still get, and bytes that it asks for at a time.
MORE, PIECE = 32 << 20, 1 << 20


def raise_by_hand() -> None:
    raise MemoryError("more than there is")


def exhaust() -> None:
    """Take what the system gives under a limit of the address space, which holds until the process ends."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    kept: list[bytearray] = []
    while True:
        kept.append(bytearray(PIECE))


@pytest.mark.parametrize("fail", [raise_by_hand, exhaust])
def test_process_whose_task_had_no_memory_is_replaced_before_it_runs_anything_else(
    broker: Broker, vhost: str, tmp_path: Path, fail: Callable[[], None]
) -> None:
    """Under a limit of its memory it may hang in Celery's own code at the next task, and hold its slot for ever."""
    runs = tmp_path / "runs"
    app = Celery("theirs", broker=broker.url(vhost), set_as_current=False)
    app.conf.update(task_ignore_result=True, proj_strikes=2, worker_hijack_root_logger=False)
    install(app)

    def note(name: str) -> None:
        with runs.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")

    @app.task(shared=False)
    def lacks() -> None:
        note("lacks")
        fail()

    @app.task(shared=False)
    def good() -> None:
        note("good")

    def noted() -> list[list[str]]:
        return [line.split() for line in runs.read_text().splitlines()] if runs.exists() else []

    # The first record of a pool process begins a thread here, which must not happen without memory: Python 3.11 waits
    # for ever for a thread that ends before it has begun. At this level a good task logs the first one.
    with start_worker(app, pool="prefork", concurrency=1, perform_ping_check=False, loglevel="INFO"):
        for task in (good, lacks, good):
            task.delay()
        expected = {"good": 2, "lacks": 2}
        wait_until(lambda: Counter(name for name, _ in noted()) == expected, what="the tasks", timeout_s=TIMEOUT_S)

    lines = noted()
    for number, (name, pid) in enumerate(lines):
        assert name == "good" or pid not in [other for _, other in lines[number + 1 :]]
