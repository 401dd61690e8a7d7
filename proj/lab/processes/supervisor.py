"""A supervisor: starts a process again whenever it ends, as systemd does with `Restart=always`."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from proj.lab.processes.waiting import POLL_INTERVAL_S, wait_until
from proj.service import Service

if TYPE_CHECKING:
    from proj.lab.processes.process import Process

#: Seconds until the thread must have ended.
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of the process: its id, its exit status, and the time in seconds since the epoch."""

    pid: int
    returncode: int
    time: float


class Supervisor(Service):
    """Starts one process again after each end, until `stop`."""

    def __init__(self, process: Process) -> None:
        """Supervise the process, which `start` starts."""
        self.process = process
        self.ends: list[End] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"supervisor of {process.name}", daemon=True)

    @property
    def pid(self) -> int:
        """The id of the process that runs now."""
        return self.process.pid

    def start(self) -> None:
        """Start the process and supervise it."""
        self.process.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop supervising and kill the process with its group; safe to call twice and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self.process.kill()

    def children(self) -> set[int]:
        """The ids of its child processes now; those of a worker are its pool."""
        try:
            return {child.pid for child in psutil.Process(self.pid).children()}
        except psutil.NoSuchProcess:
            return set()

    def wait_for_end(self, pid: int, *, timeout_s: float) -> End:
        """How the process with this id ended, when it has.

        Raises:
            DeadlinePassed: it did not end within `timeout_s`.
        """
        (end,) = wait_until(
            lambda: [end for end in self.ends if end.pid == pid],
            what=f"the end of {self.process.name}",
            timeout_s=timeout_s,
        )
        return end

    def _run(self) -> None:
        while not self._stopping.wait(POLL_INTERVAL_S):
            returncode = self.process.returncode
            if returncode is None:
                continue
            # As systemd does (KillMode=control-group): the pool processes of a dead worker must not live on.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.ends.append(End(pid=self.pid, returncode=returncode, time=time.time()))
            if not self._stopping.is_set():
                self.process.start()
