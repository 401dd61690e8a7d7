"""The app of a drill's workers: proj's own, with tasks that write evidence and tasks that kill."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from proj.celery import app
from proj.delivery.stage import Stage, output_id
from proj.lab.drills.system.evidence import CONFIRMED, FILE_VARIABLE, FINISHED, SENDING, STARTED, append, parse
from proj.queues import WORK_QUEUE

if TYPE_CHECKING:
    from celery import Task

__all__ = ("app", "balk", "exhaust", "first", "kill_child", "kill_main", "last", "leave", "linger", "note")

#: The queue of a pipeline's second stage; its name is matched by the work queue's policy.
LAST_QUEUE = f"{WORK_QUEUE}.last"
#: The text of the error that a stage raises.
BALKED = "I will not do this one"

#: Seconds for which a task sleeps until its process is killed.
_GONE_S = 60.0


def _id(task: Task[..., Any]) -> str:
    return str(task.request.id)


def _begin(task: Task[..., Any]) -> None:
    append(os.environ[FILE_VARIABLE], STARTED, _id(task))


def _end(task: Task[..., Any]) -> None:
    append(os.environ[FILE_VARIABLE], FINISHED, _id(task))


@app.task(bind=True)
def note(self: Task[..., Any], seconds: float) -> None:
    """Work for `seconds`."""
    _begin(self)
    time.sleep(seconds)
    _end(self)


@app.task(bind=True)
def linger(self: Task[..., Any], first_s: float, again_s: float) -> None:
    """Work for `first_s` seconds the first time, and for `again_s` seconds after a redelivery."""
    _begin(self)
    with Path(os.environ[FILE_VARIABLE]).open(encoding="utf-8") as file:
        starts = sum(record.kind == STARTED and record.task_id == _id(self) for record in parse(file))
    time.sleep(first_s if starts == 1 else again_s)
    _end(self)


@app.task(bind=True)
def kill_child(self: Task[..., Any]) -> None:
    """Kill the pool process that runs this task."""
    _begin(self)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def kill_main(self: Task[..., Any]) -> None:
    """Kill the worker's main process."""
    _begin(self)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_GONE_S)


@app.task(bind=True)
def leave(self: Task[..., Any]) -> NoReturn:
    """Raise SystemExit."""
    _begin(self)
    raise SystemExit(1)


@app.task(bind=True)
def exhaust(self: Task[..., Any]) -> NoReturn:
    """Raise MemoryError."""
    _begin(self)
    raise MemoryError


@app.task(bind=True, base=Stage)
def first(self: Stage, seconds: float) -> None:
    """Work for `seconds`, and hand on to the last stage, which works as long."""
    _begin(self)
    time.sleep(seconds)
    path, handed_on = os.environ[FILE_VARIABLE], output_id(_id(self), last.name)
    append(path, SENDING, handed_on)
    self.hand_on(last.s(seconds).set(queue=LAST_QUEUE))
    append(path, CONFIRMED, handed_on)
    _end(self)


@app.task(bind=True, base=Stage)
def last(self: Stage, seconds: float) -> None:
    """Work for `seconds`, as the last stage."""
    _begin(self)
    time.sleep(seconds)
    _end(self)


@app.task(bind=True, base=Stage)
def balk(self: Stage) -> NoReturn:
    """Raise a ValueError."""
    _begin(self)
    raise ValueError(BALKED)
