"""A program for tests/processes that starts no process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard
    from tests.processes.program import Definition


class StillProgram:
    """Reports that it runs until it is killed or stopped."""

    pid = 0

    def __init__(self, _guard: Guard, _definition: Definition) -> None:
        self.running = False
        self.returncode: int | None = None
        self._lives = 0

    def start(self) -> None:
        """Start again."""
        self.running, self.returncode = True, None
        self._lives += 1

    def stop(self, timeout_s: float) -> None:
        """End at once."""
        del timeout_s
        if self.running:
            self.running, self.returncode = False, 0

    def kill(self) -> None:
        """End as by SIGKILL."""
        if self.running:
            self.running, self.returncode = False, -9

    def log_text(self) -> str:
        """One line for each start."""
        return "started\n" * self._lives
