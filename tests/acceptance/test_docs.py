"""The applications that the README and docs/ print, run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from proj.journal.reader import open_journal
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import free_port
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


def commands(page: str, section: str) -> dict[str, list[str]]:
    """The printed commands of `yourapp`, by their name, as words."""
    lines = [shlex.split(line, comments=True) for line in block(page, section, "sh").splitlines()]
    return {" ".join(word for word in line[3:5] if word.isalpha()): line[1:] for line in lines if "yourapp" in line}


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


def test_application_with_two_stages_hands_on(
    start: Callable[..., Process], celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """From one queue to the next, by the commands beside it, as they are printed."""
    (tmp_path / "yourapp.py").write_text(block("docs/pipelines.md", "Pipelines", "python"))
    lines = block("docs/pipelines.md", "Pipelines", "sh").splitlines()
    shout, say, call = (shlex.split(line, comments=True)[1:] for line in lines)
    start(*shout)
    last = start(*say)

    called = celery(*call, **variables)

    assert called.returncode == 0, called.stderr
    wait_until(lambda: "Received hello!" in last.log_text(), what="the text", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(300)
def test_own_application_of_the_readme_runs_with_every_command_printed_below_it(
    start: Callable[..., Process], celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """A team types what the README prints, and all of it works with an app that is not ours."""
    (tmp_path / "yourapp.py").write_text(block("README.md", "Install into your own app", "python"))
    printed = commands("README.md", "Install into your own app")

    def run(name: str) -> str:
        done = celery(*printed.pop(name), **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    port = free_port()
    call = printed["call"]
    run("queues policy")
    worker = start(*printed.pop("worker"))
    worker.wait_until_ready(lambda: celery(*printed["health"], **variables).returncode == 0, timeout_s=TIMEOUT_S)
    run("call")
    assert "yes: answers" in run("health")
    run("queues dead")
    page = start(*printed.pop("dashboard"), FLOWER_PORT=str(port))
    page.wait_until_ready(lambda: answers(f"http://127.0.0.1:{port}/dispatch"), timeout_s=TIMEOUT_S)
    recorder = start(*printed.pop("journal record"))
    recorder.wait_until_ready(lambda: "run.sqlite" in recorder.log_text(), timeout_s=TIMEOUT_S)
    celery(*call, **variables)
    wait_until(lambda: finished(tmp_path / "run.sqlite"), what="the end of the second task", timeout_s=TIMEOUT_S)
    os.kill(recorder.pid, signal.SIGINT)
    wait_until(lambda: not recorder.running, what="the end of the recorder", timeout_s=TIMEOUT_S)
    assert "finished" in run("journal audit")
    run("queues halt")
    wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
    assert printed == {}


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def finished(path: Path) -> int:
    with open_journal(path) as journal:
        return sum(attempt.state == "succeeded" for attempt in journal.attempts())
