"""Lost results: how many a worker's processes could not store; each writes a byte into a pipe that it inherits.

A lock that they share would stay locked for ever when the process that holds it is killed.
"""

from __future__ import annotations

import os
from contextlib import suppress

#: Bytes that are read at once; a pipe has 64 kiB.
_CHUNK = 65_536


class LostResults:
    """A count that a worker's main process reads, and that every process forked after it was made may raise."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._count = 0

    def add(self) -> None:
        """Count one more, in any of the processes."""
        # A pipe is full when nobody reads, so there is nobody who would tell. No task may fail because of it.
        with suppress(OSError):
            os.write(self._writer, b"\0")

    def count(self) -> int:
        """How many there were so far; in the main process only."""
        with suppress(BlockingIOError):
            while chunk := os.read(self._reader, _CHUNK):
                self._count += len(chunk)
        return self._count

    def __del__(self) -> None:
        """Close the pipe in this process."""
        for end in (self._reader, self._writer):
            with suppress(OSError):
                os.close(end)
