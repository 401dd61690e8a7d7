"""An app that is not ours, whose tasks write down when they begin; in the dispatch mode that the test asks for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery
from kombu import Exchange, Queue

from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

#: Seconds that a task may wait for its test.
LONGEST_S = 120.0
#: Broker and result backend come from the environment; no results.
app = Celery("pausing_app", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("PAUSING_APP_MULTIPLIER", "1")),
    task_default_queue="first",
    task_queues=[
        Queue(
            name, Exchange(name), name, queue_arguments={"x-queue-type": os.environ.get("PROJ_QUEUE_TYPE", "classic")}
        )
        for name in ("first", "second")
    ],
    broker_connection_retry_on_startup=True,
)
install(app, dispatch="adaptive" if os.environ.get("PAUSING_APP_ADAPTIVE") else None)


@app.task
def step(number: int, path: str) -> None:
    """Write down its number and the time."""
    _note(path, number)


@app.task
def wait(number: int, path: str, end: str) -> None:
    """Write down its number and the time, and take until there is a file at `end`."""
    _note(path, number)
    wait_until(Path(end).exists, what=f"the file {end}", timeout_s=LONGEST_S)


@app.task(rate_limit="1/h")
def limited(number: int, path: str) -> None:
    """Wait for the rate limit."""
    _note(path, number)


def _note(path: str, number: int) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{number} {time.time()}\n")
