"""What the guard's process runs: wait for the end of the parent, then kill all that carries the mark.

It is run as a script and imports nothing of ours, so that it starts at once and depends on nothing
that its parent changes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys

import psutil

MARK_VARIABLE = "PROJ_LAB_MARK"


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        # Other people's processes and those that just ended cannot be read, and are not ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK_VARIABLE) == mark:
                found.append(process)
    return found


def sweep(mark: str) -> None:
    """Kill all processes with the mark, until none is left: one that forks meanwhile is met again."""
    while remaining := marked(mark):
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(remaining, timeout=1)


def main() -> None:
    """Wait for the end of the parent, then sweep."""
    mark, folder = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sweep(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
