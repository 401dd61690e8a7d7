"""Actions: what people did to queues and workers, each one a log record, and a line in a journal where one is named."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.journal.records import Action
from proj.journal.schema import VERSION, open_to_write, unreadable, update, version_of
from proj.journal.write_lock import WriteLock
from proj.user import whoami

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

PAUSE, RESUME, HALT, DRAIN = "pause", "resume", "halt", "drain"
REQUEUE, EXPORT, PURGE, RETRY = "requeue", "export", "purge", "retry"


@dataclass
class Count:
    """How many queues, letters or workers an action was done to so far."""

    value: int = 0


@contextmanager
def recorded(
    verb: str, what: str, *, journal: Path | None, who: str | None = None, is_writer: bool = False
) -> Iterator[Count]:
    """Record what the block did when it ends, also with an error or at Ctrl-C; nothing when its count is still 0.

    Args:
        verb: one of those above.
        what: to which queues or workers, or which letters.
        journal: the file to write it into too; it is made when it does not exist.
        who: the one who did it; the user of this process unless given.
        is_writer: whether this process writes the journal, in another thread.

    Raises:
        UnreadableJournal: the file is no journal, or cannot be written; known before the block is entered, unless the
            disk gets full meanwhile.
    """
    if journal is not None:
        with _opened(journal, is_writer=is_writer):
            pass
    count = Count()
    try:
        yield count
    finally:
        if count.value:
            action = Action(time=time.time(), who=who or whoami(), verb=verb, what=what, count=count.value)
            record(action, journal, is_writer=is_writer)


def record(action: Action, journal: Path | None, *, is_writer: bool = False) -> None:
    """Log the action, and write it into the journal, which a recorder may be writing.

    Raises:
        UnreadableJournal: the journal cannot be written.
    """
    logger.info(
        "%s",
        action,
        extra={"action": "operator_action", "verb": action.verb, "what": action.what, "count": action.count},
    )
    if journal is not None:
        with _opened(journal, is_writer=is_writer) as connection:
            connection.execute(
                "INSERT INTO actions (time, who, verb, what, count) VALUES (:time, :who, :verb, :what, :count)",
                vars(action),
            )


@contextmanager
def _opened(path: Path, *, is_writer: bool) -> Iterator[sqlite3.Connection]:
    """The journal, of the newest version. Rows of this table are the only ones that are written beside a recorder."""
    connection = open_to_write(path)
    if is_writer:
        # It has the newest version. The end of another `WriteLock` would end SQLite's own locks of this process.
        try:
            yield connection
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        finally:
            connection.close()
        return
    lock = WriteLock(path)
    try:
        if version_of(connection) < VERSION:
            lock.acquire()
            update(connection, path)
        yield connection
        if not lock.is_held():
            # So that the file can be copied alone. It fails while another process has it open.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    finally:
        connection.close()
        lock.close()
