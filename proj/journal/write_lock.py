"""Write lock: lets one process at a time write a journal; the system releases it when the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from proj.errors import UnreadableJournal

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds for which `acquire` tries: `is_held` of a reader holds the lock for a moment.
TRY_S = 0.5
_RETRY_S = 0.05
#: Error numbers of file systems without locks. A journal there is written without one.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


class WriteLock:
    """A flock on the journal file. SQLite's own locks are fcntl locks, which are independent of it.

    Close it only after SQLite has closed the file: closing any descriptor of a file releases all fcntl locks of the
    process on it. Source: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which must exist; nothing is locked yet.

        Raises:
            UnreadableJournal: it cannot be opened.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableJournal(path, f"it cannot be opened ({error.strerror})") from error

    def acquire(self) -> None:
        """Lock the file for writing.

        Raises:
            UnreadableJournal: another process holds the lock.
        """
        deadline = time.monotonic() + TRY_S
        while not self._locked(fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise UnreadableJournal(
                    self._path, "another process is writing it, such as a recorder or a dashboard; stop that one first"
                )
            time.sleep(_RETRY_S)

    def is_held(self) -> bool:
        """Whether another process holds the lock, and so writes the journal."""
        if not self._locked(fcntl.LOCK_SH):
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Release the lock and close the file."""
        os.close(self._file)

    def _locked(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True
