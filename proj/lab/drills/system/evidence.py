"""Evidence: a file with one line for each step of a task or publisher, written before the next step.

Events can be lost with their connection, and results with the broker. A line that was written is not lost, whichever
process is killed next: the kernel has it. It is not synced to disk, because drills do not crash the machine, and a disk
that is slow for a second would hold a task between its last line and its acknowledgement.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The environment variable with the path of the file.
FILE_VARIABLE = "PROJ_LAB_EVIDENCE"

#: A publish begins; it has returned; it has raised.
SENDING, CONFIRMED, RAISED = "sending", "confirmed", "raised"
#: The code of a task begins; it has ended.
STARTED, FINISHED = "started", "finished"
KINDS = frozenset({SENDING, CONFIRMED, RAISED, STARTED, FINISHED})

_FIELDS = 5


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line: the step, the task, the process id, and the time in seconds since the epoch."""

    kind: str
    task_id: str
    pid: int
    time: float
    #: The error of a publish that raised; empty otherwise.
    detail: str = ""


def append(path: str | os.PathLike[str], kind: str, task_id: str, detail: str = "") -> None:
    """Append a line."""
    words = (kind, task_id, str(os.getpid()), f"{time.time():.6f}", " ".join(detail.split()))
    # With O_APPEND, one write of a short line is never mixed with those of other processes.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (" ".join(words).rstrip() + "\n").encode())
    finally:
        os.close(descriptor)


def parse(lines: Iterable[str]) -> list[Record]:
    """The records in the lines; skips a line that is not a record, such as one that a kill cut short."""
    records = []
    for line in lines:
        words = line.rstrip("\n").split(" ", _FIELDS - 1)
        if len(words) < _FIELDS - 1 or words[0] not in KINDS:
            continue
        kind, task_id, pid, when, *detail = words
        try:
            records.append(Record(kind=kind, task_id=task_id, pid=int(pid), time=float(when), detail=" ".join(detail)))
        except ValueError:
            continue
    return records


class Evidence:
    """Reads the complete records of a file that grows."""

    def __init__(self, path: Path) -> None:
        """Read from `path`, which may not exist yet."""
        self.path = path
        self._records: list[Record] = []
        self._offset = 0

    def read(self) -> list[Record]:
        """All records so far, in the order of the file."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                complete, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(complete) + len(newline)
            self._records.extend(parse(complete.decode(errors="replace").splitlines()))
        return list(self._records)


def running(records: Iterable[Record]) -> dict[str, Record]:
    """The last start of each task that has not finished since, by task id."""
    started: dict[str, Record] = {}
    for record in records:
        if record.kind == STARTED:
            started[record.task_id] = record
        elif record.kind == FINISHED:
            started.pop(record.task_id, None)
    return started


def peak(records: Iterable[Record], task_ids: frozenset[str]) -> int:
    """The most of these tasks that ran at the same time."""
    at_once = most = 0
    for record in sorted(records, key=lambda record: record.time):
        if record.task_id in task_ids:
            at_once += {STARTED: 1, FINISHED: -1}.get(record.kind, 0)
            most = max(most, at_once)
    return most
