"""A mark: the time and the processor time of what is measured, written by a task when its turn in the queue has come.

Task number one of the measured ones comes after the first mark, and the second mark after the last one. So the figures
contain neither the start of the worker nor its first tasks, and nothing has to be polled while the tasks run.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import psutil

BEGIN, END = "begin", "end"


def watch(folder: str | Path, mains: list[int], broker: int) -> None:
    """Say which processes the marks of this folder are about: the main processes of workers, and the broker."""
    _write(Path(folder) / "processes.json", {"mains": mains, "broker_pid": broker})


def write_mark(folder: str, which: str) -> None:
    """Write the file `which`: `time` (monotonic) and the processor seconds of `main`, `pool` and `broker`.

    `pool` is all that the main processes have started.
    """
    now = time.monotonic()
    place = Path(folder)
    # The end takes the children from the begin: to find them takes longer than some tasks.
    known = json.loads((place / ("processes.json" if which == BEGIN else f"{BEGIN}.json")).read_text())
    children = known.get("children") or children_of(known["mains"])
    seconds = {
        "main": sum(map(cpu_s, known["mains"])),
        "pool": sum(map(cpu_s, children)),
        "broker": cpu_s(known["broker_pid"]),
    }
    if which == BEGIN:
        now = time.monotonic()
    _write(place / f"{which}.json", {**known, **seconds, "children": children, "time": now})


def read_mark(folder: Path, which: str) -> dict[str, Any] | None:
    """The mark, once it is written."""
    path = folder / f"{which}.json"
    mark: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return mark


def children_of(mains: list[int]) -> list[int]:
    """All processes that these processes have started, and theirs."""
    return [child.pid for main in mains for child in psutil.Process(main).children(recursive=True)]


def cpu_s(pid: int) -> float:
    """The processor seconds that the process has used; 0 when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return 0.0


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write it under another name first, so that nobody reads half of it."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(content))
    unfinished.rename(path)
