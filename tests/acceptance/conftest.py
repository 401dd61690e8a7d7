"""Fixtures that run our commands as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from celery import Celery as CeleryApp

from proj.broker.management_api import Management
from proj.broker.queue_depths import depths_by_declare
from proj.broker.worker_consumers import queues_by_worker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until
from tests.acceptance.installed import Installed
from tests.acceptance.tutorial_shell import Shell
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

ROOT = Path(__file__).parents[2]
#: Seconds that a command may take on a busy machine; a test may take 120, where it does not say more itself.
COMMAND_TIMEOUT_S = 230


class Celery(Protocol):
    """Runs `celery …` and returns the finished process."""

    def __call__(self, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        ...


@pytest.fixture
def celery(tmp_path: Path) -> Celery:
    """The `celery` command of this environment, run in an empty folder, with `variables` set."""

    def run(*words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "celery", *words],
            input=stdin,
            env=child_environment(**variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    return run


@pytest.fixture
def variables(broker: Broker, vhost: str) -> dict[str, str]:
    """The variables that a user exports so that every command finds the broker."""
    return {"CELERY_BROKER_URL": broker.url(vhost), "FLOWER_BROKER_API": broker.management_url}


#: An app that is not ours, with our answer to `queues halt` when WITH_ANSWER is set, and whose tasks cannot be
#: imported by anyone but its workers.
THEIRS = """
import os
from celery import Celery

app = Celery("theirs", include=["theirs_tasks"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="theirs")
if os.environ.get("WITH_ANSWER"):
    from proj.delivery.shutdown.halt_command import answer_halt
    answer_halt(app)
"""
THEIRS_TASKS = """
import os, pathlib
if "IS_WORKER" not in os.environ:
    raise RuntimeError("tasks are for workers")
from proj.lab.processes.waiting import wait_until
from theirs import app

@app.task(name="nap")
def nap(end, then=0):
    wait_until(pathlib.Path(end).exists, what=end, timeout_s=120)
    if then:
        nap.delay(end, then - 1)
"""


class Theirs:
    """Workers of an app that is not ours; some answer the halt command."""

    def __init__(self, folder: Path, guard: Guard, variables: dict[str, str]) -> None:
        self._guard = guard
        self._variables = variables
        self._folder = folder
        self._end = folder / "end"
        (folder / "theirs.py").write_text(THEIRS)
        (folder / "theirs_tasks.py").write_text(THEIRS_TASKS)
        self.app = CeleryApp(broker=variables["CELERY_BROKER_URL"])
        self.workers: list[Process] = []

    def start(self, *nodes: str, answers: bool = True) -> list[Process]:
        """Start workers with these names, and return them when they are ready."""
        started = [
            worker_process(
                node,
                *("--concurrency", "1"),
                guard=self._guard,
                broker_url=self._variables["CELERY_BROKER_URL"],
                app="theirs",
                folder=self._folder,
                PYTHONPATH=str(self._folder),
                IS_WORKER="1",
                **({"WITH_ANSWER": "1"} if answers else {}),
            )
            for node in nodes
        ]
        self.workers += started
        for worker in started:
            worker.start()
        wait_until_ready(*started)
        return started

    def send(self, *, then: int = 0, times: int = 1) -> None:
        """Send `times` naps, which last until `end_naps`; each publishes another one at its end, `then` in a row."""
        for _ in range(times):
            self.app.send_task("nap", (str(self._end), then), queue="theirs")

    def end_naps(self) -> None:
        """Let the naps end that run, and later ones at once."""
        self._end.touch()

    def are_halted(self) -> bool:
        """Whether the workers consume no more; they may be at work still."""
        with self.app.connection_for_read() as connection:
            return [depth.consumers for depth in depths_by_declare(connection, ["theirs"])] == [0]

    def wait_until_listed(self) -> None:
        """Return when the broker's list of consumers, which is some seconds late, has all workers."""
        management = Management(self._variables["FLOWER_BROKER_API"])
        vhost = self.app.connection().virtual_host
        names = {worker.name.removeprefix("worker ") for worker in self.workers}
        wait_until(
            lambda: names <= {node for node, queues in queues_by_worker(self.app, management, vhost).items() if queues},
            what="the broker's list of consumers",
            timeout_s=60,
        )

    def wait_until_begun(self, count: int) -> None:
        """Return when the workers have started so many naps."""
        wait_until(
            lambda: sum(worker.log_text().count("Task nap[") for worker in self.workers) >= count,
            what=f"{count} naps",
            timeout_s=60,
        )


@pytest.fixture
def theirs(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Theirs]:
    """An app that is not ours, `-A theirs`, whose tasks cannot be imported by a command."""
    theirs = Theirs(tmp_path, guard, variables)
    yield theirs
    for worker in theirs.workers:
        worker.kill()
    theirs.app.close()


@pytest.fixture
def terminal_environment() -> dict[str, str]:
    """The environment of a command that a test starts and interrupts."""
    return {**child_environment(), "COLUMNS": os.environ.get("COLUMNS", "120")}


@pytest.fixture
def shell(broker: Broker, vhost: str) -> Iterator[Callable[[], Shell]]:
    """Opens shells for the tutorials' programs, and closes those that are left at the end."""
    opened: list[Shell] = []

    def opening() -> Shell:
        opened.append(Shell(broker.url(vhost)))
        return opened[-1]

    yield opening
    for shell in opened:
        shell.close()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this checkout in an environment of its own."""
    return Installed(tmp_path_factory.mktemp("installed"))
