"""Schema: the tables of a journal file, their version, and the check that a file is a journal."""

from __future__ import annotations

import shlex
import sqlite3
from typing import TYPE_CHECKING

from proj.errors import NoJournal, UnreadableJournal

if TYPE_CHECKING:
    from pathlib import Path

#: "proj" in ASCII. It is in the header of the file and tells a journal from the database of another program.
APPLICATION_ID = 0x70726F6A

#: A reader accepts every version up to its own. History, newest first:
#: 5: the dead letters that each worker made, by queue.
#: 4: what people did.
#: 3: the tasks that a worker acknowledges early.
#: 2: adaptive dispatch in workers and heartbeats.
#: 1: attempts, runs, workers, samples, gaps, heartbeats, notes.
VERSION = 5
#: The first version that has the table `actions`.
ACTIONS_SINCE = 4

#: Attempts keep a rowid: rows are stored in the order of their first events, and updates touch few pages.
TABLES = """
CREATE TABLE attempts (
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    name TEXT,
    queue TEXT,
    worker TEXT,
    arguments TEXT NOT NULL,
    retries INTEGER NOT NULL,
    redelivered INTEGER NOT NULL,
    eta REAL,
    sent REAL,
    received REAL,
    started REAL,
    finished REAL,
    runtime_s REAL,
    run TEXT,
    UNIQUE (task_id, number)
);
CREATE TABLE runs (
    name TEXT PRIMARY KEY,
    dispatch TEXT,
    began REAL NOT NULL,
    ended REAL,
    settings TEXT NOT NULL,
    machine TEXT NOT NULL
);
CREATE TABLE workers (
    name TEXT PRIMARY KEY,
    slots INTEGER,
    queues TEXT NOT NULL,
    dispatch TEXT,
    skew_s REAL,
    processed INTEGER,
    started_seen INTEGER NOT NULL,
    window INTEGER,
    held INTEGER,
    given_back INTEGER,
    early TEXT,
    letters TEXT
);
CREATE TABLE samples (
    time REAL NOT NULL,
    queue TEXT NOT NULL,
    ready INTEGER NOT NULL,
    unacknowledged INTEGER,
    consumers INTEGER NOT NULL,
    PRIMARY KEY (time, queue)
) WITHOUT ROWID;
CREATE TABLE gaps (
    began REAL NOT NULL,
    ended REAL NOT NULL,
    events INTEGER,
    reason TEXT NOT NULL,
    UNIQUE (began, ended, reason)
);
CREATE TABLE heartbeats (
    worker TEXT PRIMARY KEY,
    pid INTEGER,
    time REAL NOT NULL,
    processed INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    window INTEGER,
    held INTEGER,
    given_back INTEGER,
    letters TEXT
);
CREATE TABLE notes (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""
_ACTIONS = """
CREATE TABLE actions (
    time REAL NOT NULL,
    who TEXT NOT NULL,
    verb TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL
);
"""
#: What makes each version of the one before it.
_CHANGES = {
    2: """
ALTER TABLE workers ADD COLUMN window INTEGER;
ALTER TABLE workers ADD COLUMN held INTEGER;
ALTER TABLE workers ADD COLUMN given_back INTEGER;
ALTER TABLE heartbeats ADD COLUMN window INTEGER;
ALTER TABLE heartbeats ADD COLUMN held INTEGER;
ALTER TABLE heartbeats ADD COLUMN given_back INTEGER;
""",
    3: """
ALTER TABLE workers ADD COLUMN early TEXT;
""",
    4: _ACTIONS,
    5: """
ALTER TABLE workers ADD COLUMN letters TEXT;
ALTER TABLE heartbeats ADD COLUMN letters TEXT;
""",
}


def open_to_read(path: Path, *, whole: bool = True) -> sqlite3.Connection:
    """A read-only connection to the journal at `path`, also while another process writes it.

    Unless `whole`, the file is not checked for damage.

    Raises:
        NoJournal: there is no such file.
        UnreadableJournal: it is not a journal, is damaged, or is one of a newer version.
    """
    if not path.exists():
        raise NoJournal(path)
    if not path.is_file():
        raise UnreadableJournal(path, "it is not a file")
    if path.stat().st_size == 0:
        raise UnreadableJournal(path, "it is empty")
    address = path.absolute().as_uri()
    try:
        return _checked(_connected(f"{address}?mode=ro"), path, whole=whole)
    except sqlite3.DatabaseError as error:
        # In a read-only folder SQLite cannot make the files that it needs beside the journal. No process writes such a
        # journal, so it can be opened as immutable.
        if not isinstance(error, sqlite3.OperationalError) or path.with_name(path.name + "-wal").exists():
            raise unreadable(path, error) from error
    try:
        return _checked(_connected(f"{address}?immutable=1"), path, whole=whole)
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes the journal at `path`, which is made if it does not exist.

    Raises:
        UnreadableJournal: the file is not a journal, is damaged or of a newer version, or cannot be made.
    """
    try:
        # `isolation_level=None`: the writer begins and commits its transactions itself.
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    try:
        if path.stat().st_size == 0:
            _create(connection)
        _checked(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit must be on the disk when it returns: the recorder then acknowledges the events to the broker.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        connection.close()
        raise unreadable(path, error) from error
    except UnreadableJournal:
        connection.close()
        raise
    return connection


def unreadable(path: Path, error: sqlite3.Error) -> UnreadableJournal:
    """The error of ours for an error of SQLite's at the journal at `path`."""
    # Operational errors, such as a full disk or a locked file, are not errors of what the file contains; but Python's
    # module reports text that is not UTF-8 as one.
    outside = isinstance(error, sqlite3.OperationalError) and "UTF-8" not in str(error)
    advice = "" if outside else f"; {_repair(path)}"
    return UnreadableJournal(path, f"SQLite says: {error}{advice}")


def _repair(path: Path) -> str:
    """What to do about a damaged journal."""
    return f"save what can be read with `celery journal repair {shlex.quote(str(path))} -o NEW`"


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the journal's tables."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def update(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an older journal to the newest version; only for the process that holds the write lock.

    Raises:
        UnreadableJournal: it cannot be changed.
    """
    changes = [change for version, change in _CHANGES.items() if version > version_of(connection)]
    if not changes:
        return
    try:
        # One transaction: a process that is killed leaves the older version or the newest.
        connection.executescript(f"BEGIN EXCLUSIVE; {''.join(changes)} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def _connected(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=30)


def _create(connection: sqlite3.Connection) -> None:
    # One transaction: a process that is killed leaves all tables or none.
    connection.executescript(
        f"BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; "
        f"{TABLES} {_ACTIONS} COMMIT;"
    )


def _checked(connection: sqlite3.Connection, path: Path, *, whole: bool = True) -> sqlite3.Connection:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        version = version_of(connection)
        # This reads the whole file, and so finds a page that is cut off or overwritten. Of a damaged table a query may
        # otherwise return a part without an error. It takes 1.5 s for a million attempts, a twelfth of reading them.
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone() if whole else ("ok",)
    except UnicodeDecodeError as error:
        connection.close()
        # SQLite's own message, or the name of a column, has bytes of the damage.
        raise sqlite3.DatabaseError("database disk image is malformed") from error
    except sqlite3.Error:
        connection.close()
        raise
    if application != APPLICATION_ID:
        connection.close()
        raise UnreadableJournal(path, "it is the database of another program")
    if version > VERSION:
        connection.close()
        raise UnreadableJournal(
            path,
            f"its version {version} is newer than {VERSION}, the newest version that this proj reads; use a newer proj",
        )
    if found != "ok":
        connection.close()
        raise UnreadableJournal(path, f"it is damaged ({' '.join(found.split())}); {_repair(path)}")
    return connection
