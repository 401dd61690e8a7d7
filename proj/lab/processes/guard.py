"""The guard: a small process that kills what the lab started when the lab ends in any way, also by SIGKILL.

Every process of a lab has the guard's mark in its environment, which its children inherit. The guard reads from a pipe
whose other end the lab holds. When the lab ends, the pipe closes. Then the guard kills all processes with the mark, by
their ids, and removes the lab's folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from proj.lab.processes import sweep
from proj.service import Service

#: Seconds for which `stop` waits for the guard to kill and remove everything; a few milliseconds were measured.
SWEEP_TIMEOUT_S = 10.0


class Guard(Service):
    """A folder and a mark for the processes of one lab; on exit the folder and all marked processes are gone."""

    def __init__(self) -> None:
        """Choose the mark; nothing is started before `start`."""
        self.mark = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A private folder, which is removed when the guard stops."""
        if self._folder is None:
            raise RuntimeError("The guard is not started.")
        return self._folder

    @property
    def environment(self) -> dict[str, str]:
        """The variable that marks a process as one of this lab."""
        return {sweep.MARK_VARIABLE: self.mark}

    def start(self) -> None:
        """Make the folder and start the guarding process."""
        self._folder = Path(tempfile.mkdtemp(prefix="proj-lab-"))
        environment = {k: v for k, v in os.environ.items() if k != sweep.MARK_VARIABLE}
        self._process = subprocess.Popen(
            [sys.executable, sweep.__file__, self.mark, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            # In a session of its own, so that neither Ctrl-C nor a hang-up of the terminal reaches it.
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kill all processes with the mark, and remove the folder; safe to call twice and before `start`."""
        process, self._process = self._process, None
        if process is None:
            return
        # This closes the pipe and waits. A guard that needs longer goes on without us. The byte says that no process
        # is being started.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(b".", timeout=SWEEP_TIMEOUT_S)
