"""The command blocks of a page, typed into terminals in the order in which they are printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import free_port
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.lab.processes.guard import Guard

ROOT = Path(__file__).parents[2]
#: Seconds that a command may take on a busy machine.
TIMEOUT_S = 120


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def printed_lines(page: str) -> list[str]:
    """The lines of the page's command blocks; one that goes on after a backslash is one line."""
    return [line for block in blocks(page, "sh") for line in block.replace("\\\n", "").splitlines() if line.strip()]


def bare(line: str) -> str:
    """The line without its comment, and with single spaces."""
    return " ".join(re.sub(r"(^|\s)#\s.*", "", line).split())


class Terminals:
    """Types the lines of a page, each as it is printed, with its comment; refuses any other line or order."""

    def __init__(self, page: str, folder: Path, guard: Guard, variables: Mapping[str, str]) -> None:
        """Stand in `folder`, with `variables` exported in every terminal."""
        self.folder = folder
        self.variables = dict(variables)
        self._guard = guard
        self._left = printed_lines(page)
        self._started: list[Process] = []

    def run(
        self, line: str, *, status: int = 0, fill: Mapping[str, str] | None = None, answer: str | None = None
    ) -> str:
        """Type the next line of the page, and return what it printed when it has ended with this status.

        Its standard input is a terminal only with an `answer`, which is typed there.
        """
        return self.aside(self._next(line, fill), status=status, answer=answer)

    def start(self, line: str, *, until: str, fill: Mapping[str, str] | None = None) -> Process:
        """Type the next line of the page into a terminal of its own, and return when it has printed `until`."""
        return self.open(self._next(line, fill), until=until)

    def begin(self, line: str, *, until: str, status: int) -> None:
        """Type the next line, and Ctrl-C when it has printed `until`; it must end with this status."""
        self.interrupt(self.start(line, until=until), status=status)

    def leave_out(self, line: str, reason: str) -> None:
        """Do not type the next line of the page; the reason says where else it is run."""
        assert reason
        self._next(line, None)

    def aside(self, line: str, *, status: int = 0, answer: str | None = None) -> str:
        """Type a line that the page does not print, such as a call of a task that it speaks of."""
        keyboard, terminal = os.openpty()
        if answer is not None:
            os.write(keyboard, f"{answer}\n".encode())
        done = subprocess.run(
            ["/bin/bash", "-c", line],
            cwd=self._place(line),
            env=self._environment(),
            stdin=subprocess.DEVNULL if answer is None else terminal,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        for descriptor in (keyboard, terminal):
            os.close(descriptor)
        assert done.returncode == status, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def open(self, line: str, *, until: str) -> Process:
        """Type a line into a terminal of its own, and return when it has printed `until`."""
        process = Process(
            bare(line),
            ["/bin/bash", "-c", 'cd "$0" && exec bash -c "$1"', str(self._place(line)), line],
            guard=self._guard,
            environment=self._environment(),
            log=self.folder / f"terminal-{len(self._started)}.log",
        )
        self._started.append(process)
        process.start()
        process.wait_until_ready(lambda: until in process.log_text(), timeout_s=TIMEOUT_S)
        return process

    def interrupt(self, process: Process, *, status: int = 0) -> None:
        """Press Ctrl-C in its terminal; it must end with this status."""
        os.killpg(process.pid, signal.SIGINT)
        wait_until(lambda: not process.running, what=f"the end of {process.name}", timeout_s=TIMEOUT_S)
        assert process.returncode == status, f"{process.returncode}: {process.log_text()}"
        assert "Traceback" not in process.log_text()

    def python(self, program: str) -> str:
        """Run a program of the page, and return what it printed."""
        path = self.folder / "printed.py"
        path.write_text(program)
        return self.aside(f"python {path}")

    def close(self, *, end: bool) -> None:
        """End what still runs; with `end`, no line of the page may be left."""
        for process in reversed(self._started):
            process.kill()
        assert not end or not self._left, f"The page goes on with {self._left}."

    def _next(self, line: str, fill: Mapping[str, str] | None) -> str:
        assert self._left, f"The page has no further line, so not {line}"
        printed = self._left.pop(0)
        assert bare(printed) == line, f"The page has {bare(printed)!r} here, not {line!r}."
        for placeholder, value in (fill or {}).items():
            assert placeholder in printed, f"{printed!r} has no {placeholder!r}."
            printed = printed.replace(placeholder, value)
        return printed

    def _place(self, line: str) -> Path:
        """Scripts are run from the checkout, everything else from where the user's app is."""
        return ROOT if line.startswith("scripts/") else self.folder

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self.variables.setdefault("FLOWER_PORT", str(free_port()))
        return child_environment(
            PATH=path,
            PYTHONPATH=str(self.folder),
            # Where the page does not choose a level, so that a worker says when it consumes.
            CELERY_WORKER_LOGLEVEL="INFO",
            **self.variables,
        )


def pages_with_commands(pages: Iterable[Path]) -> list[str]:
    """The pages that have command blocks, as paths in the checkout."""
    names = [str(path.relative_to(ROOT)) for path in pages]
    return [name for name in names if printed_lines(name)]
