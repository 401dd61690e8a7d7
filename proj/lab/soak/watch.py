"""Watch: measures the processes of a soak every few seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import psutil

from proj.lab.soak.trend import Measure
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Seconds between two measures.
INTERVAL_S = 5.0
#: Seconds until the thread must have ended.
_STOP_TIMEOUT_S = 10.0


class Watch(Service):
    """Measures until `stop`, on a thread of its own."""

    def __init__(self, processes: Callable[[], Mapping[str, Iterable[int]]]) -> None:
        """Take what returns the ids of the processes of each role now."""
        self.measures: list[Measure] = []
        self._processes = processes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch of processes", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def stop(self) -> None:
        """End; safe to call twice and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            for role, pids in self._processes().items():
                for pid in pids:
                    # It may have ended.
                    with contextlib.suppress(psutil.Error, FileNotFoundError):
                        self.measures.append(_measure(role, psutil.Process(pid)))


def _measure(role: str, process: psutil.Process) -> Measure:
    with process.oneshot():
        return Measure(
            role=role,
            pid=process.pid,
            time=time.time(),
            memory=process.memory_full_info().uss,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
        )
