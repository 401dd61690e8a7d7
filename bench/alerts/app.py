"""An app that is not ours, with `install`: the workers and the publishers of bench/alerts.py."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any, NoReturn

from celery import Celery

from proj.delivery.install import install
from proj.delivery.stage import Stage

if TYPE_CHECKING:
    from celery import Task

#: Seconds after which the broker of the bench takes back an unacknowledged message.
CONSUMER_TIMEOUT_S = 120


def shop(broker: str | None = None) -> Celery:
    """The app without its tasks, for a broker; without one for that of the environment."""
    made = Celery("shop", broker=broker, set_as_current=False)
    made.conf.update(
        worker_send_task_events=True,
        task_send_sent_event=True,
        # One in advance for each slot; the scene of the avoidable wait has more.
        worker_prefetch_multiplier=int(os.environ.get("SHOP_PREFETCH", "1")),
        broker_heartbeat=10,
        proj_consumer_timeout_s=float(CONSUMER_TIMEOUT_S),
    )
    install(made)
    return made


app = shop()

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


@app.task(bind=True)
def linger(self: Task[..., Any], first_s: float, again_s: float) -> None:
    """Work for `first_s` seconds the first time, and for `again_s` seconds after a redelivery."""
    time.sleep(again_s if self.request.delivery_info["redelivered"] else first_s)


@app.task
def kill_child() -> None:
    """Kill the pool process that runs this task."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def kill_main() -> None:
    """Kill the worker's main process."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(GONE_S)


@app.task
def leave() -> NoReturn:
    """Raise SystemExit."""
    raise SystemExit(1)


@app.task
def exhaust() -> NoReturn:
    """Raise MemoryError."""
    raise MemoryError


@app.task(base=Stage, bind=True)
def first(self: Stage, seconds: float, next_queue: str) -> None:
    """Work for `seconds`, and hand on to the stage of the next queue, which works as long."""
    time.sleep(seconds)
    self.hand_on(last.s(seconds).set(queue=next_queue))


@app.task(base=Stage)
def last(seconds: float) -> None:
    """Work for `seconds`, as the last stage."""
    time.sleep(seconds)


@app.task(base=Stage)
def balk() -> NoReturn:
    """Raise an error as a stage."""
    raise ValueError("I will not do this one")
