"""Starts, awaits and stops one process of the operating system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from proj.errors import DeadlinePassed, ProcessEnded
from proj.lab.processes.waiting import wait_until
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from proj.lab.processes.guard import Guard

#: Lines of a log that are shown when a process ends too soon.
LOG_TAIL_LINES = 15
#: Seconds between SIGTERM and SIGKILL.
STOP_TIMEOUT_S = 15.0
#: Seconds until a process must be gone after SIGKILL; a few milliseconds were measured.
KILL_TIMEOUT_S = 10.0


class Process(Service):
    """A command in a session of its own, whose output goes to a log file, under a guard.

    It may be started again after it ended, and then appends to the same log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        guard: Guard,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        """Take what `start` needs.

        The process inherits only `environment` and the guard's mark. Its temporary files lie in the guard's folder.
        """
        self.name = name
        self.command = list(command)
        self.log = log
        self._folder = guard.folder
        # For the memory that a worker shares with its pool processes, billiard makes a folder `pymp-…` among the
        # temporary files. It stays when the worker is killed.
        self._environment = {**environment, **guard.environment, "TMPDIR": str(self._folder)}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} is not started.")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit status as `subprocess` gives it; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start the command, unless it runs."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # Not in the user's folder, where a module or a flowerconfig.py of theirs may lie.
                cwd=self._folder,
                start_new_session=True,
            )

    def wait_until_ready(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return when `ready` returns True.

        Raises:
            ProcessEnded: the process ended before that.
            DeadlinePassed: it was not ready within `timeout_s`.
        """

        def ready_or_ended() -> bool:
            if not self.running:
                raise ProcessEnded(self.name, self.returncode, self.log_tail())
            return ready()

        wait_until(ready_or_ended, what=f"{self.name} to be ready (its log: {self.log})", timeout_s=timeout_s)

    def log_text(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The last lines that it has printed."""
        return "\n".join(self.log_text().splitlines()[-LOG_TAIL_LINES:])

    def terminate(self) -> None:
        """Send SIGTERM to the process, when it runs."""
        if self._popen is not None:
            self._popen.terminate()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it by SIGTERM, and by SIGKILL after `timeout_s`; safe to call twice and before `start`."""
        if self._popen is None:
            return
        self.terminate()
        try:
            with contextlib.suppress(DeadlinePassed):
                wait_until(lambda: not self.running, what=f"the end of {self.name}", timeout_s=timeout_s)
        finally:
            # Does nothing to a process that has ended.
            self.kill()

    def kill(self) -> None:
        """End it and its process group by SIGKILL."""
        if self._popen is None or self._popen.returncode is not None:
            return
        # The process is not reaped yet, so no other process can have its id.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        # A process that hangs in a system call ends later; the guard kills it again.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(KILL_TIMEOUT_S)
