"""`celery -A proj worker`."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.processes.guard import Guard

    from .conftest import Celery


@pytest.fixture
def worker(guard: Guard, variables: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """The worker of the README's example, with short dots."""
    worker = Process(
        "worker",
        [sys.executable, "-m", "celery", "-A", "proj", "worker", "--loglevel", "INFO", "--concurrency", "1"],
        guard=guard,
        environment=child_environment(PROJ_DOT_SECONDS="0.05", **variables),
        log=tmp_path / "worker.log",
    )
    with worker:
        wait_until_ready(worker)
        yield worker


def test_worker_prints_received_and_done_as_the_tutorials_do(
    celery: Celery, variables: dict[str, str], worker: Process
) -> None:
    """Beside Celery's own lines."""
    celery("-A", "proj", "send", "First message.", **variables)
    worker.wait_until_ready(lambda: "succeeded in" in worker.log_text(), timeout_s=60)

    log = worker.log_text()
    assert re.search(r": {2}\[x\] Received 'First message\.'$", log, flags=re.MULTILINE)
    assert re.search(r": {2}\[x\] Done$", log, flags=re.MULTILINE)
    assert re.search(r"Task proj\.tasks\.work\[.+\] received$", log, flags=re.MULTILINE)


def test_worker_shows_its_durable_and_late_acknowledged_settings(
    celery: Celery, variables: dict[str, str], worker: Process
) -> None:
    """`inspect conf` shows them."""
    assert worker.running

    inspected = celery("-A", "proj", "inspect", "conf", "--json", **variables)

    ((conf,),) = [list(json.loads(inspected.stdout).values())]
    assert (conf["task_acks_late"], conf["task_reject_on_worker_lost"]) == (True, True)
    assert (conf["worker_prefetch_multiplier"], conf["task_default_delivery_mode"]) == (1, "persistent")
    assert conf["proj_dispatch"] == "adaptive"
    (queue,) = conf["task_queues"]
    assert (queue["name"], queue["durable"], queue["queue_arguments"]) == (
        "task_queue",
        True,
        {"x-queue-type": "quorum"},
    )


def test_second_worker_of_a_host_works_beside_the_first(
    guard: Guard, variables: dict[str, str], worker: Process, celery: Celery, tmp_path: Path
) -> None:
    """With the same command in two terminals, each worker has its own name and gets its share."""
    second = Process(
        "second worker",
        worker.command,
        guard=guard,
        environment=child_environment(PROJ_DOT_SECONDS="0.05", **variables),
        log=tmp_path / "second.log",
    )
    with second:
        wait_until_ready(second)

        celery("-A", "proj", "send", *["message.........."] * 4, **variables)

        for each in (worker, second):
            each.wait_until_ready(lambda each=each: "[x] Done" in each.log_text(), timeout_s=60)
        answers = celery("-A", "proj", "status", **variables)
        assert "2 nodes online" in answers.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROJ_DISPATCH", "fare"),
        ("PROJ_QUEUE_TYPE", "stream"),
        ("PROJ_DOT_SECONDS", "soon"),
        ("CELERY_BROKER_URL", "redis://localhost"),
        ("CELERY_RESULT_BACKEND", "nowhere://"),
    ],
)
def test_worker_refuses_a_wrong_setting_in_one_sentence(celery: Celery, variable: str, value: str) -> None:
    """At the start, with exit code 2 and without a stack trace."""
    refused = celery("-A", "proj", "worker", **{variable: value})

    assert refused.returncode == 2
    assert re.fullmatch(rf"Error: {variable} is '{value}', but must be .*\.\n", refused.stderr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proj_dispatch", "'adaptve'"),
        ("proj_dispatch_budget_s", "-1"),
        ("proj_dispatch_budget_s", "0"),
        ("proj_strikes", "0"),
        ("proj_publish_timeout_s", "1e+99"),
    ],
)
def test_worker_of_another_app_refuses_a_wrong_setting(
    celery: Celery, variables: dict[str, str], tmp_path: Path, name: str, value: str
) -> None:
    """It would otherwise run in another mode without a word, or hold messages for ever."""
    (tmp_path / "theirs.py").write_text(
        "from celery import Celery\n"
        "from proj.delivery.install import install\n"
        "app = Celery('theirs')\n"
        f"app.conf.{name} = {value}\n"
        "install(app)\n"
    )

    refused = celery("-A", "theirs", "worker", "--pool", "threads", **variables)

    assert refused.returncode == 2
    assert re.search(rf"^Error: {name} is {re.escape(value)}, but must be .*\.$", refused.stderr, flags=re.MULTILINE)
    assert "Traceback" not in refused.stderr
