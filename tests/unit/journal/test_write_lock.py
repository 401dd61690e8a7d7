"""Write lock: one process at a time writes a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.errors import UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.write_lock import WriteLock
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = Attempt(task_id="t", state="sent", sent=1.0)


def test_journal_has_one_writer_at_a_time(path: Path, writer: JournalWriter) -> None:
    """The second writer is refused, and the first one can continue."""
    with pytest.raises(UnreadableJournal, match="another process is writing it"):
        JournalWriter(path).start()

    writer.put_attempts([ATTEMPT])
    writer.commit()
    writer.stop()
    with JournalWriter(path) as after:
        assert after.journal.attempts() == [ATTEMPT]


def test_write_lock_tells_whether_a_journal_is_being_written(path: Path, writer: JournalWriter) -> None:
    """The writer holds the lock until it stops."""
    lock = WriteLock(path)
    while_written = lock.is_held()
    writer.stop()

    assert (while_written, lock.is_held()) == (True, False)
    lock.close()
