"""The publisher of a soak: a process that sends many tasks at once until SIGTERM, as many as the workers can run."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proj.delivery.send_many import send_many
from proj.lab.drills.system.evidence import CONFIRMED, FILE_VARIABLE, RAISED, SENDING, append
from proj.lab.drills.system.tasks import app, note
from proj.lab.soak.recent_evidence import RecentEvidence
from proj.lab.soak.tally import PREFIX

if TYPE_CHECKING:
    from types import FrameType

#: Tasks that are sent at once, and the most that may wait or run before more are sent.
BATCH, MOST_OPEN = 200, 2000
#: Every so many tasks, one works for so many seconds; the others work for none.
LONG_EVERY, LONG_S = 50, 0.05
#: Seconds between two looks at what has finished.
LOOK_S = 0.02


def main() -> None:
    """Send batches; at SIGTERM, end after the batch in progress."""
    path = os.environ[FILE_VARIABLE]
    evidence = RecentEvidence(Path(path))
    # Not a threading.Event: its `set` in the handler could wait for ever for a lock that this very thread holds.
    told: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, stop)
    first = 0
    while not told:
        evidence.forget()
        if evidence.tally.open > MOST_OPEN:
            time.sleep(LOOK_S)
            continue
        _send(path, range(first, first + BATCH))
        first += BATCH


def _send(path: str, numbers: range) -> None:
    ids = {f"{PREFIX}{number}": LONG_S if number % LONG_EVERY == 0 else 0.0 for number in numbers}
    for task_id in ids:
        append(path, SENDING, task_id)
    unconfirmed = set(ids)

    def confirmed(task_id: str) -> None:
        unconfirmed.discard(task_id)
        append(path, CONFIRMED, task_id)

    try:
        send_many(
            (note.s(seconds).set(task_id=task_id) for task_id, seconds in ids.items()), app=app, on_confirmed=confirmed
        )
    except Exception as error:  # noqa: BLE001 any error is an outcome to write down
        said = partial(append, path, RAISED, detail=f"{type(error).__name__}: {error}")
        for task_id in unconfirmed:
            said(task_id)


if __name__ == "__main__":
    main()
