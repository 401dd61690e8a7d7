"""The program of the guard: waits until its parent ends, then kills all processes with the mark.

It runs as a script and imports nothing of proj, so that it starts at once and cannot fail with its parent.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time

import psutil

MARK_VARIABLE = "PROJ_LAB_MARK"
#: Seconds for which processes are looked for that a killed parent had forked, and between two looks.
LATE_S = 5.0
LOOK_EVERY_S = 0.2


def marked(mark: str) -> list[psutil.Process]:
    """The running processes with the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        # The environment of another user's process, or of one that just ended, cannot be read.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK_VARIABLE) == mark:
                found.append(process)
    return found


def sweep(mark: str) -> None:
    """Kill all processes with the mark until none is left; one that forked meanwhile is found in the next round."""
    while remaining := marked(mark):
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(remaining, timeout=1)


def sweep_late(mark: str) -> None:
    """Kill what the parent had forked when it was killed.

    A process has the mark in its environment only when it has begun its program, and on a busy machine that is later.
    """
    end = time.monotonic() + LATE_S
    while time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        sweep(mark)


def main() -> None:
    """Wait until the parent ends, then kill its processes and remove its folder."""
    mark, folder = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    has_stopped = bool(sys.stdin.buffer.read())
    sweep(mark)
    shutil.rmtree(folder, ignore_errors=True)
    if not has_stopped:
        sweep_late(mark)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
