"""What a killed worker was running, in an app that is not ours: done again, or lost and called so."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from proj.journal.reader import open_journal
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.processes.guard import Guard

    from .conftest import Celery

#: The two lines that a team adds, and no other setting.
APP = """
import os, pathlib
from celery import Celery
from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

app = Celery("shop")
app.conf.task_default_queue = "shop"
if "EARLY" in os.environ:
    app.conf.task_acks_late = False
install(app)

@app.task(name="shop.pack")
def pack(number):
    folder = pathlib.Path(os.environ["SHOP"])
    (folder / f"begun{number}").touch()
    wait_until((folder / "end").exists, what="the end of the work", timeout_s=60)
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

    def start(self, node: str, **variables: str) -> Process:
        """Start a worker of two slots, and return it when it is ready."""
        worker = worker_process(
            node,
            *("--concurrency", "2", "--task-events"),
            guard=self._guard,
            broker_url=self._url,
            app="shop",
            folder=self.folder,
            PYTHONPATH=str(self.folder),
            SHOP=str(self.folder),
            **variables,
        )
        self.workers.append(worker)
        worker.start()
        wait_until_ready(worker)
        return worker

    def numbers(self, what: str) -> set[int]:
        """The numbers of the tasks that have begun, or are done."""
        return {int(path.name.removeprefix(what)) for path in self.folder.glob(f"{what}*")}

    def kill_at_work(self, worker: Process, journal: Path | None = None) -> None:
        """Kill the worker and its pool while both of its slots are busy, and the journal, if there is one, has it."""

        def works() -> bool:
            at_work = self.numbers("begun") - self.numbers("done")
            return len(at_work) == 2 and (journal is None or running(journal) == at_work)

        wait_until(works, what="work", timeout_s=TIMEOUT_S)
        os.killpg(worker.pid, signal.SIGKILL)
        (self.folder / "end").touch()


@pytest.fixture
def shop(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Shop]:
    """An app that is not ours, with `install`."""
    shop = Shop(tmp_path, guard, variables)
    yield shop
    for worker in shop.workers:
        worker.kill()


def running(journal: Path) -> set[int]:
    """The numbers of the tasks that run, by the journal."""
    with open_journal(journal) as reader:
        return {int(re.sub(r"\D", "", attempt.arguments)) for attempt in reader.attempts() if attempt.running}


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


@pytest.fixture
def recorder(shop: Shop, guard: Guard, variables: dict[str, str]) -> Iterator[Process]:
    """`journal record -o run.sqlite`, which goes on."""
    words = ("-A", "shop", "journal", "record", "-o", str(shop.folder / "run.sqlite"))
    recorder = Process(
        "recorder",
        [sys.executable, "-m", "celery", *words],
        guard=guard,
        environment=child_environment(**variables, PYTHONPATH=str(shop.folder)),
        log=shop.folder / "recorder.log",
    )
    with recorder:
        recorder.wait_until_ready(lambda: "run.sqlite" in recorder.log_text(), timeout_s=TIMEOUT_S)
        yield recorder


@pytest.mark.usefixtures("recorder")
def test_audit_names_what_was_lost_because_it_was_acknowledged_early(
    celery: Celery, variables: dict[str, str], shop: Shop
) -> None:
    """An app may acknowledge early: its worker warns, and what was lost is called so, with its name and worker."""
    journal = shop.folder / "run.sqlite"
    first = shop.start("one@x", EARLY="1")
    assert "1 task is acknowledged early (task_acks_late or acks_late is False)" in first.log_text()
    with open_journal(journal) as reader:
        wait_until(lambda: any(one.early for one in reader.workers()), what="its answer", timeout_s=TIMEOUT_S)
    for number in range(TASKS):
        call(celery, variables, number)

    shop.kill_at_work(first, journal)
    shop.start("two@x", EARLY="1")

    wait_until(lambda: len(shop.numbers("done")) == TASKS - 2, what="the other tasks", timeout_s=TIMEOUT_S)
    audited = celery("-A", "shop", "journal", "audit", str(journal), "--json", **variables)
    shown = celery("-A", "shop", "journal", "audit", str(journal), **variables)
    document = json.loads(audited.stdout)
    assert (audited.returncode, document["counts"]) == (1, {"finished": TASKS - 2, "lost": 2}), audited.stderr
    assert [(one["name"], one["worker"]) for one in document["lost_tasks"]] == [("shop.pack", "one@x")] * 2
    assert "Lost with their workers, which had acknowledged them before they ran" in shown.stdout
    assert shown.returncode == 1
