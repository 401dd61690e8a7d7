"""The app of a drill's workers: proj's own, with tasks that write evidence and tasks that kill."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, NoReturn

from proj.celery import app
from proj.delivery.stage import Stage, output_id
from proj.lab.drills.system.evidence import CONFIRMED, FILE_VARIABLE, FINISHED, SENDING, STARTED, append, parse
from proj.queues import WORK_QUEUE

__all__ = ("app", "balk", "exhaust", "first", "kill_child", "kill_main", "last", "leave", "linger", "note")

#: The queue of a pipeline's second stage; its name is matched by the work queue's policy.
LAST_QUEUE = f"{WORK_QUEUE}.last"
#: The text of the error that a stage raises.
BALKED = "I will not do this one"

#: Seconds for which a task sleeps until its process is killed.
_GONE_S = 60.0


def _begin(task: Any) -> None:  # noqa: ANN401 Celery has no types
    append(os.environ[FILE_VARIABLE], STARTED, task.request.id)


def _end(task: Any) -> None:  # noqa: ANN401 Celery has no types
    append(os.environ[FILE_VARIABLE], FINISHED, task.request.id)


@app.task(bind=True)
def note(self: Any, seconds: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for `seconds`."""
    _begin(self)
    time.sleep(seconds)
    _end(self)


@app.task(bind=True)
def linger(self: Any, first_s: float, again_s: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for `first_s` seconds the first time, and for `again_s` seconds after a redelivery."""
    _begin(self)
    with open(os.environ[FILE_VARIABLE], encoding="utf-8") as file:  # noqa: PTH123 one line beats a Path here
        starts = sum(record.kind == STARTED and record.task_id == self.request.id for record in parse(file))
    time.sleep(first_s if starts == 1 else again_s)
    _end(self)


@app.task(bind=True)
def kill_child(self: Any) -> None:  # noqa: ANN401 Celery has no types
    """Kill the pool process that runs this task."""
    _begin(self)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def kill_main(self: Any) -> None:  # noqa: ANN401 Celery has no types
    """Kill the worker's main process."""
    _begin(self)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_GONE_S)


@app.task(bind=True)
def leave(self: Any) -> NoReturn:  # noqa: ANN401 Celery has no types
    """Raise SystemExit."""
    _begin(self)
    raise SystemExit(1)


@app.task(bind=True)
def exhaust(self: Any) -> NoReturn:  # noqa: ANN401 Celery has no types
    """Raise MemoryError."""
    _begin(self)
    raise MemoryError


@app.task(bind=True, base=Stage)
def first(self: Any, seconds: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for `seconds`, and hand on to the last stage, which works as long."""
    _begin(self)
    time.sleep(seconds)
    path, handed_on = os.environ[FILE_VARIABLE], output_id(self.request.id, last.name)
    append(path, SENDING, handed_on)
    self.hand_on(last.s(seconds).set(queue=LAST_QUEUE))
    append(path, CONFIRMED, handed_on)
    _end(self)


@app.task(bind=True, base=Stage)
def last(self: Any, seconds: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for `seconds`, as the last stage."""
    _begin(self)
    time.sleep(seconds)
    _end(self)


@app.task(bind=True, base=Stage)
def balk(self: Any) -> NoReturn:  # noqa: ANN401 Celery has no types
    """Raise a ValueError."""
    _begin(self)
    raise ValueError(BALKED)
