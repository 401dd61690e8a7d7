"""The applications that docs/delivery.md prints, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.processes.guard import Guard
    from tests.acceptance.conftest import Celery

DOCS = Path(__file__).parents[2] / "docs" / "delivery.md"
TIMEOUT_S = 30


def printed(section: str) -> str:
    """The first block of Python in a section."""
    _, _, text = DOCS.read_text().partition(f"\n## {section}\n")
    found = re.search(r"```python\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def work(tmp_path: Path, guard: Guard, variables: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts a worker of `yourapp`, which is ready when it is given back."""
    workers: list[Process] = []

    def start(*words: str) -> Process:
        worker = Process(
            f"worker {len(workers)}",
            [
                *(
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "yourapp",
                    "worker",
                    "--concurrency",
                    "1",
                    "--loglevel",
                    "INFO",
                ),
                *("--hostname", f"w{len(workers)}@docs", *words),
            ],
            guard=guard,
            environment=child_environment(**variables, PYTHONPATH=str(tmp_path)),
            log=tmp_path / f"worker-{len(workers)}.log",
        )
        worker.start()
        workers.append(worker)
        worker.wait_until_ready(lambda: " ready." in worker.log_text(), timeout_s=60)
        return worker

    yield start
    for worker in workers:
        worker.kill()


def test_application_that_adopts_plain_messages_runs_them_and_acknowledges_late(
    work: Callable[..., Process], celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """What its task fails at is a dead letter, as the comment says."""
    (tmp_path / "yourapp.py").write_text(
        printed("Plain messages") + '    if text == "broken":\n        raise ValueError("no")\n'
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
    work: Callable[..., Process], celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """From one queue to the next, by the commands beside it."""
    (tmp_path / "yourapp.py").write_text(printed("Pipelines"))
    work("-Q", "shout")
    last = work("-Q", "say")

    called = celery("-A", "yourapp", "call", "yourapp.shout", "--args", '["hello"]', **variables)

    assert called.returncode == 0, called.stderr
    wait_until(lambda: "Received hello!" in last.log_text(), what="the text", timeout_s=TIMEOUT_S)
