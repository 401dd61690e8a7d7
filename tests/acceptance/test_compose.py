"""The command line of each service of docker-compose.yml, on a real broker."""

from __future__ import annotations

import json
import shlex
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import free_port
from proj.lab.processes.process import Process
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

FILE = Path(__file__).parents[2] / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]


def start(service: str, *, guard: Guard, variables: dict[str, str], folder: Path) -> Process:
    """The service's command with its environment; only the addresses differ."""
    # Here all containers have one host name.
    command = shlex.split(SERVICES[service]["command"].replace("%h", folder.name))
    assert command[0] == "celery"
    environment = {**SERVICES[service]["environment"], **variables}
    process = Process(
        service,
        [sys.executable, "-m", *command],
        guard=guard,
        environment=child_environment(**environment),
        log=folder / f"{service}.log",
    )
    process.start()
    return process


def shown(celery: Celery, variables: dict[str, str]) -> Any:
    return json.loads(celery("-A", "proj", "queues", "--json", **variables).stdout)


@pytest.mark.parametrize(
    ("service", "queue", "scale"),
    [
        ("worker-adaptive", "task_queue", 4),
        ("worker-fair", "task_queue.fair", 2),
        ("worker-round-robin", "task_queue.round-robin", 2),
    ],
)
def test_worker_of_compose_does_the_work_of_its_queue(
    guard: Guard,
    variables: dict[str, str],
    celery: Celery,
    tmp_path: Path,
    service: str,
    queue: str,
    scale: int,
) -> None:
    """Several workers, as with `--scale`, work on as many messages at a time."""
    folders = [tmp_path / str(number) for number in range(scale)]
    for folder in folders:
        folder.mkdir()
    workers = [start(service, guard=guard, variables=variables, folder=folder) for folder in folders]
    try:
        for worker in workers:
            wait_until_ready(worker)
        (depth,) = [depth for depth in shown(celery, variables) if depth["name"] == queue]
        celery("-A", "proj", "send", "--queue", queue, *["one."] * scale, **variables)
        for worker in workers:
            worker.wait_until_ready(lambda worker=worker: "[x] Done" in worker.log_text(), timeout_s=60)
    finally:
        for worker in workers:
            worker.kill()

    assert (depth["consumers"], depth["type"]) == (scale, "quorum")


def test_flower_of_compose_serves_its_pages(guard: Guard, variables: dict[str, str], tmp_path: Path) -> None:
    """It serves browsers on this machine and a scraper in its network."""
    port = free_port()
    SERVICES["flower"]["command"] = SERVICES["flower"]["command"].replace("--port=5555", f"--port={port}")
    flower = start("flower", guard=guard, variables={**variables, "FLOWER_ADDRESS": "127.0.0.1"}, folder=tmp_path)
    try:
        flower.wait_until_ready(lambda: answers(port), timeout_s=60)
        assert answers(port, host="flower:5555")
        assert not answers(port, host="elsewhere.example")
    finally:
        flower.kill()


def answers(port: int, *, host: str = "localhost:5555") -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/healthcheck", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.read() == b"OK")
    except urllib.error.HTTPError as refusal:
        # Python 3.14 warns of one that is never closed.
        with refusal:
            return False
    except OSError:
        return False
