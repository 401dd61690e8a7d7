"""What a killed worker was running, in an app that is not ours: done again, or lost and called so."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

    from .conftest import Celery

#: The two lines that a team adds, and no other setting.
APP = """
import os, pathlib, time
from celery import Celery
from proj.delivery.install import install

app = Celery("shop")
app.conf.task_default_queue = "shop"
install(app)

@app.task(name="shop.pack")
def pack(number):
    folder = pathlib.Path(os.environ["SHOP"])
    (folder / f"begun{number}").touch()
    time.sleep(0.5)  # the work itself
    (folder / f"done{number}").touch()
"""
TASKS = 8
TIMEOUT_S = 60


class Shop:
    """The app in a folder, with its workers."""

    def __init__(self, folder: Path, guard: Guard, variables: dict[str, str]) -> None:
        self.folder = folder
        self.workers: list[Process] = []
        self._guard = guard
        self._url = variables["CELERY_BROKER_URL"]
        (folder / "shop.py").write_text(APP)

    def start(self, node: str) -> Process:
        """Start a worker of two slots in the app's folder, and return it when it is ready."""
        worker = worker_process(
            node,
            *("--concurrency", "2", "--task-events"),
            guard=self._guard,
            broker_url=self._url,
            app="shop",
            folder=self.folder,
            PYTHONPATH=str(self.folder),
            SHOP=str(self.folder),
        )
        self.workers.append(worker)
        worker.start()
        wait_until_ready(worker)
        return worker

    def numbers(self, what: str) -> set[int]:
        """The numbers of the tasks that have begun, or are done."""
        return {int(path.name.removeprefix(what)) for path in self.folder.glob(f"{what}*")}

    def kill_at_work(self, worker: Process) -> None:
        """Kill the worker and its pool while both of its slots are busy."""
        wait_until(lambda: len(self.numbers("begun") - self.numbers("done")) == 2, what="work", timeout_s=TIMEOUT_S)
        os.killpg(worker.pid, signal.SIGKILL)


@pytest.fixture
def shop(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Shop]:
    """An app that is not ours, with `install`."""
    shop = Shop(tmp_path, guard, variables)
    yield shop
    for worker in shop.workers:
        worker.kill()


def call(celery: Celery, variables: dict[str, str], number: int) -> None:
    called = celery("-A", "shop", "call", "shop.pack", "--args", f"[{number}]", **variables)
    assert called.returncode == 0, called.stderr


def test_app_with_install_alone_loses_nothing_that_a_killed_worker_had(
    celery: Celery, variables: dict[str, str], shop: Shop
) -> None:
    """Celery acknowledges a task before it runs, unless told otherwise; `install` does."""
    for number in range(TASKS):
        call(celery, variables, number)
    first = shop.start("one@x")
    shop.kill_at_work(first)

    second = shop.start("two@x")

    wait_until(lambda: shop.numbers("done") == set(range(TASKS)), what="all tasks", timeout_s=TIMEOUT_S)
    assert "acknowledged early" not in first.log_text() + second.log_text()
