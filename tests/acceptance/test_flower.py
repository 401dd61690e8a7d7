"""`celery -A proj flower`: stock Flower, but not open to the network."""

from __future__ import annotations

import sys
import urllib.request
from typing import TYPE_CHECKING

import psutil

from proj.lab.processes.environment import child_environment
from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.ports import free_port
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def addresses(pid: int) -> set[str]:
    return {
        connection.laddr.ip
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_flower_listens_on_loopback_only(guard: Guard, variables: dict[str, str], tmp_path: Path) -> None:
    """Flower's own default is every address, without a password."""
    port = free_port()
    flower = Process(
        "Flower",
        [sys.executable, "-m", "celery", "-A", "proj", "flower", f"--port={port}"],
        guard=guard,
        environment=child_environment(**variables),
        log=tmp_path / "flower.log",
    )
    with flower:
        flower.wait_until_ready(lambda: bool(addresses(flower.pid)), timeout_s=60)

        assert addresses(flower.pid) == {"127.0.0.1"}


def test_flower_of_the_demo_knows_the_queues_of_its_broker(guard: Guard, broker: Broker, celery: Celery) -> None:
    """A private broker's management API is on a free port, so Flower must be told its address."""
    celery("-A", "proj", "send", "hello.", CELERY_BROKER_URL=broker.url())
    with FlowerProcess(guard, broker_url=broker.url(), management_url=broker.management_url) as flower:
        flower.wait_until_ready(flower.answers, timeout_s=60)

        # The broker lists a new queue a moment late.
        wait_until(lambda: "task_queue" in page(f"{flower.url}/broker"), what="the queue on the page", timeout_s=60)
        assert broker.password not in " ".join(psutil.Process(flower.pid).cmdline())
