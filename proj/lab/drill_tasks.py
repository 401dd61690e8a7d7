"""The app of a drill's workers: our own, with tasks that leave evidence and tasks that kill."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, NoReturn

from proj.celery import app
from proj.lab.evidence import FILE_VARIABLE, FINISHED, STARTED, append, parse

__all__ = ("app", "exhaust", "kill_child", "kill_main", "leave", "linger", "note")

#: Seconds until a killed process is gone; nothing may be done after the kill was sent.
_GONE_S = 60.0


def _begin(task: Any) -> None:  # noqa: ANN401 Celery has no types
    append(os.environ[FILE_VARIABLE], STARTED, task.request.id)


def _end(task: Any) -> None:  # noqa: ANN401 Celery has no types
    append(os.environ[FILE_VARIABLE], FINISHED, task.request.id)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def note(self: Any, seconds: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for so many seconds."""
    _begin(self)
    time.sleep(seconds)
    _end(self)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def linger(self: Any, first_s: float, again_s: float) -> None:  # noqa: ANN401 Celery has no types
    """Work for `first_s` seconds the first time, and for `again_s` when it is delivered again."""
    _begin(self)
    with open(os.environ[FILE_VARIABLE], encoding="utf-8") as file:  # noqa: PTH123 one line beats a Path here
        starts = sum(record.kind == STARTED and record.task_id == self.request.id for record in parse(file))
    time.sleep(first_s if starts == 1 else again_s)
    _end(self)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def kill_child(self: Any) -> None:  # noqa: ANN401 Celery has no types
    """Kill the pool process that runs it."""
    _begin(self)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def kill_main(self: Any) -> None:  # noqa: ANN401 Celery has no types
    """Kill the worker's main process."""
    _begin(self)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_GONE_S)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def leave(self: Any) -> NoReturn:  # noqa: ANN401 Celery has no types
    """Raise SystemExit."""
    _begin(self)
    raise SystemExit(1)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def exhaust(self: Any) -> NoReturn:  # noqa: ANN401 Celery has no types
    """Raise MemoryError."""
    _begin(self)
    raise MemoryError
