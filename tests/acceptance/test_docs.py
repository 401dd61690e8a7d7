"""The applications that the README and docs/ print, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.processes.guard import Guard
    from tests.acceptance.conftest import Celery

ROOT = Path(__file__).parents[2]
#: Seconds; the machine may be busy.
TIMEOUT_S = 60


def block(page: str, section: str, language: str) -> str:
    """The first block of a language in a section of a page, or below its title."""
    _, _, text = (ROOT / page).read_text().partition(f"# {section}\n")
    found = re.search(rf"```{language}\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def work(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts a worker of `yourapp`, which is ready when it is given back."""
    workers: list[Process] = []

    def start(*words: str) -> Process:
        worker = worker_process(
            f"w{len(workers)}@docs",
            *("--concurrency", "1", *words),
            guard=guard,
            broker_url=variables["CELERY_BROKER_URL"],
            app="yourapp",
            folder=tmp_path,
            PYTHONPATH=str(tmp_path),
        )
        worker.start()
        workers.append(worker)
        wait_until_ready(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def start(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts a printed command of `celery`, which goes on."""
    started: list[Process] = []

    def start(*words: str, **more: str) -> Process:
        process = Process(
            words[2],
            # A process of the lab stands in the guard's folder; a user stands where the app is.
            ["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), sys.executable, "-m", "celery", *words],
            guard=guard,
            environment=child_environment(**variables, **more, PYTHONPATH=str(tmp_path)),
            log=tmp_path / f"{len(started)}.log",
        )
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def test_application_that_adopts_plain_messages_runs_them_and_acknowledges_late(
    work: Callable[..., Process], celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """What its task fails at is a dead letter, as the comment says."""
    (tmp_path / "yourapp.py").write_text(
        block("docs/plain-messages.md", "Plain messages", "python")
        + '    if text == "broken":\n        raise ValueError("no")\n'
    )
    worker = work()

    sent = celery("-A", "proj", "send", "--plain", "Hello.", "broken", **variables)

    assert sent.returncode == 0, sent.stderr
    wait_until(lambda: "Received Hello." in worker.log_text(), what="the text", timeout_s=TIMEOUT_S)
    wait_until(
        lambda: "It failed: ValueError: no." in celery("-A", "yourapp", "queues", "dead", "--json", **variables).stdout,
        what="the dead letter",
        timeout_s=TIMEOUT_S,
    )
