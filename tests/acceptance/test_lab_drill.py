"""`celery -A proj lab drill`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Celery

#: A broker that is not there: the lab must use its own, whatever the user has set.
ELSEWHERE = "amqp://nobody:nothing@127.0.0.1:1//"


class Drills:
    """The running command, and every process that it started."""

    def __init__(self, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self.talk_file = folder / "talk"
        with self.talk_file.open("w") as talk:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "proj", "lab", "drill", *words],
                env=environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=talk,
                text=True,
            )
        self.family: set[psutil.Process] = set()

    def has_workers(self) -> bool:
        assert self.popen.poll() is None, self.talk_file.read_text()
        self.family.update(psutil.Process(self.popen.pid).children(recursive=True))
        return len([process for process in self.family if is_worker(process)]) >= 2

    def remaining(self) -> list[psutil.Process]:
        return [process for process in self.family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "proj.lab.drills.system.tasks" in process.cmdline()
    except psutil.Error:
        return False


@pytest.fixture
def drills(terminal_environment: dict[str, str], tmp_path: Path) -> Iterator[Drills]:
    """One drill that runs."""
    drills = Drills(["--fault", "worker-killed", "--queue-type", "classic"], terminal_environment, tmp_path)
    yield drills
    if drills.popen.poll() is None:
        drills.popen.kill()
    drills.popen.communicate()


@pytest.mark.timeout(240)
def test_short_drills_lose_nothing(terminal_environment: dict[str, str], tmp_path: Path) -> None:
    """Workers, pool processes and a broker are killed, and malformed messages are sent; no confirmed task is lost."""
    run = subprocess.run(
        [*(sys.executable, "-m", "celery", "-A", "proj", "lab", "drill", "--short", "--json")],
        env={**terminal_environment, "CELERY_BROKER_URL": ELSEWHERE},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    assert {result["queue_type"] for result in results} == {"quorum", "classic"}
    assert all(result["struck"] for result in results)
    assert all(result["confirmed"] >= 25 for result in results)
    assert [result["lost"] for result in results] == [[]] * len(results)
    assert all(result["executed_twice"] <= result["in_flight"] for result in results)
    assert "0 lost" in run.stderr


def test_drill_that_is_interrupted_leaves_nothing(drills: Drills) -> None:
    """No broker and no worker is left, and no supervisor starts one again."""
    wait_until(drills.has_workers, what="workers", timeout_s=60)

    drills.popen.send_signal(signal.SIGINT)
    status = drills.popen.wait(30)

    assert status == 130, drills.talk_file.read_text()
    wait_until(lambda: not drills.remaining(), what=f"the end of {drills.remaining()}", timeout_s=60)


def test_drill_refuses_an_unknown_fault_before_it_starts_anything(celery: Celery) -> None:
    """The exit code is 2, and the error names the known faults."""
    refused = celery("-A", "proj", "lab", "drill", "--fault", "earthquake")

    assert refused.returncode == 2
    assert "worker-killed" in refused.stderr
    assert "private RabbitMQ" not in refused.stderr
