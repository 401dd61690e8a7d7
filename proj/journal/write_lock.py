"""The lock of a writer to its journal: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from proj.errors import UnreadableJournal

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds over which a lock is tried: a reader that looks whether there is one holds it for a moment.
PATIENCE_S = 0.5
_AGAIN_S = 0.05
#: What file systems say that know no locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


class WriteLock:
    """A lock on the file itself. SQLite's own are of another kind (fcntl), and the two do not see each other.

    Closing any descriptor of a file gives up all fcntl locks of the process on it, SQLite's too. So this one is closed
    after SQLite has closed its own: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which must be there.

        Raises:
            UnreadableJournal: it cannot be opened.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableJournal(path, f"the system says: {error.strerror}") from error

    def acquire(self) -> None:
        """Be the only one who writes it.

        Raises:
            UnreadableJournal: someone else does.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self._locked(fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise UnreadableJournal(self._path, "another process writes it, a recorder or a dashboard")
            time.sleep(_AGAIN_S)

    def is_held(self) -> bool:
        """Whether someone else writes it now."""
        if not self._locked(fcntl.LOCK_SH):
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Give it up."""
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
