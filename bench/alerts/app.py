"""An app that is not ours, with `install`: the workers of bench/alerts.py."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from celery import Celery

from proj.delivery.install import install

if TYPE_CHECKING:
    from celery import Task

app = Celery("shop", set_as_current=False)
app.conf.update(
    worker_send_task_events=True,
    task_send_sent_event=True,
    # One in advance for each slot; the scene of the avoidable wait has more.
    worker_prefetch_multiplier=int(os.environ.get("SHOP_PREFETCH", "1")),
    broker_heartbeat=10,
)
install(app)

#: Seconds until the process of `kill_main` is killed.
GONE_S = 60.0


@app.task
def work(seconds: float) -> None:
    """Work for `seconds`."""
    time.sleep(seconds)


@app.task(bind=True, max_retries=1)
def again(self: Task[..., Any], seconds: float) -> None:
    """Work for `seconds`, and once more a second later."""
    time.sleep(seconds)
    if not self.request.retries:
        raise self.retry(countdown=1)


@app.task
def kill_child() -> None:
    """Kill the pool process that runs this task."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def kill_main() -> None:
    """Kill the worker's main process."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(GONE_S)
