"""Workers that start or stop at a bad moment, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proj.broker.connection import connected
from proj.celery import app
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

pytestmark = pytest.mark.one_version

TIMEOUT_S = 60


@pytest.fixture
def start(guard: Guard, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a worker on the broker at a URL, with further arguments."""
    started: list[Process] = []

    def run(url: str, *words: str) -> Process:
        worker = worker_process(
            "leaving@host", *words, guard=guard, broker_url=url, folder=tmp_path, PROJ_DOT_SECONDS="0.05"
        )
        worker.start()
        started.append(worker)
        return worker

    yield run
    for worker in started:
        worker.kill()


def test_worker_that_is_told_to_stop_while_it_reconnects_stops_with_exit_code_0(
    start: Callable[..., Process], broker: Broker, vhost: str
) -> None:
    """It has no connection then whose consumers it could cancel."""
    with Proxy(broker.port) as proxy:
        worker = start(broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/"), "--concurrency", "1")
        wait_until_ready(worker)
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: proxy.refused > 1, what="attempts to reconnect", timeout_s=TIMEOUT_S)
        worker.terminate()
        wait_until(lambda: not worker.running, what="its end", timeout_s=TIMEOUT_S)

    assert worker.returncode == 0, worker.log_text()
    assert "AttributeError" not in worker.log_text()


def test_solo_worker_runs_the_tasks_that_wait_when_it_starts(
    start: Callable[..., Process], broker: Broker, vhost: str
) -> None:
    """Its window is set to one slot once it can take deliveries, and not before."""
    url = broker.url(vhost)
    with connected(app.connection_for_write(url)) as connection:
        sent: list[Any] = [
            work.apply_async((f"waiting {number}.",), connection=connection, ignore_result=True) for number in range(6)
        ]
    worker = start(url, "--pool", "solo", "--concurrency", "2")

    wait_until(lambda: worker.log_text().count(" [x] Done") == len(sent), what="all six", timeout_s=TIMEOUT_S)
    assert worker.running
