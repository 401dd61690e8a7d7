"""A small process that outlives its parent just long enough to leave nothing behind.

Every process of a lab carries the guard's mark in its environment, which children inherit. The
guard holds one end of a pipe; when the parent ends, in whatever way, SIGKILL included, the pipe
closes, and the guard kills by their ids all processes that carry the mark and removes the folder.
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

#: Seconds that the sweep may take; it needs a few milliseconds.
SWEEP_TIMEOUT_S = 10.0


class Guard(Service):
    """A folder and a mark for the processes of one lab; on exit both are gone, and so are they."""

    def __init__(self) -> None:
        """Choose the mark; nothing is started before `start`."""
        self.mark = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A private folder that lives as long as the guard."""
        if self._folder is None:
            raise RuntimeError("The guard is not started.")
        return self._folder

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have in its environment to be guarded."""
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
            # Not in the terminal's group: neither Ctrl-C nor a hang-up ends it before its work.
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kill what still carries the mark, and remove the folder. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        # Closes the pipe and waits. A guard that takes longer goes on by itself.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=SWEEP_TIMEOUT_S)
