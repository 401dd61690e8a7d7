"""The publisher of a drill: a process that calls tasks until SIGTERM, and writes down the outcome of each publish."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from celery.utils import uuid

from proj.lab.drills.system.evidence import CONFIRMED, FILE_VARIABLE, RAISED, SENDING, append
from proj.lab.drills.system.tasks import app

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Call the task every `interval_s` seconds; at SIGTERM, end after the publish in progress."""
    task, *words = sys.argv[1:]
    seconds, interval_s = map(float, words)
    path = os.environ[FILE_VARIABLE]
    # Not a threading.Event: its `set` in the handler could wait for ever for a lock that this very thread holds.
    told: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, stop)
    while True:
        time.sleep(interval_s)
        if told:
            return
        task_id = uuid()
        append(path, SENDING, task_id)
        try:
            app.tasks[f"proj.lab.drills.system.tasks.{task}"].apply_async((seconds,), task_id=task_id)
        except Exception as error:  # noqa: BLE001 any error is an outcome to write down
            append(path, RAISED, task_id, f"{type(error).__name__}: {error}")
        else:
            append(path, CONFIRMED, task_id)


if __name__ == "__main__":
    main()
