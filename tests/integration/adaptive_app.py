"""An app that is not ours, in adaptive dispatch, with one task of each kind that Celery treats in a way of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery, Task
from celery.utils.log import get_task_logger
from kombu import Exchange, Queue

from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

logger = get_task_logger(__name__)

#: Seconds that a task may wait for its test.
LONGEST_S = 300.0

#: Broker and result backend come from the environment; no results.
app = Celery("adaptive_app", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_default_queue="first",
    task_queues=[
        Queue(
            name, Exchange(name), name, queue_arguments={"x-queue-type": os.environ.get("PROJ_QUEUE_TYPE", "classic")}
        )
        for name in ("first", "second", "third")
    ],
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,
    proj_dispatch_budget_s=float(os.environ.get("ADAPTIVE_APP_BUDGET_S", "0.05")),
    proj_adopt={"third": "adaptive_app.run"},
)
install(app, dispatch="adaptive")


@app.task
def run(text: str, seconds: float = 0.0) -> None:
    """Take so long."""
    logger.info("began %r", text)
    time.sleep(seconds)  # the work: a task that waited for its test would block a slot again when it is redelivered
    logger.info("ran %r", text)


@app.task
def wait(text: str, path: str) -> None:
    """Take until there is a file at that path."""
    logger.info("began %r", text)
    wait_until(Path(path).exists, what=f"the file {path}", timeout_s=LONGEST_S)
    logger.info("ran %r", text)


@app.task(time_limit=1)
def overtime(text: str) -> None:
    """Take longer than the time limit."""
    logger.info("began %r", text)
    wait_until(lambda: False, what="the time limit", timeout_s=LONGEST_S)


@app.task(acks_late=False)
def early(text: str) -> None:
    """Be acknowledged at the start."""
    logger.info("ran %r", text)


@app.task(rate_limit="50/s")
def limited(text: str) -> None:
    """Wait for the rate limit."""
    logger.info("ran %r", text)


@app.task(bind=True)
def retried(self: Task[[str], None], text: str) -> None:
    """Succeed the second time."""
    if not self.request.retries:
        raise self.retry(countdown=0.5)
    logger.info("ran %r", text)
