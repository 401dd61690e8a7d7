"""The tables of a journal file, their version, and how a file is known to be one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from proj.errors import NoJournal, UnreadableJournal

if TYPE_CHECKING:
    from pathlib import Path

#: In the file's header, so that nobody takes another program's database for a journal: "proj" in ASCII.
APPLICATION_ID = 0x70726F6A

#: History, newest first; a reader takes any version up to its own.
#: 1: attempts, runs, workers, samples, gaps, heartbeats, notes.
VERSION = 1

#: Rows lie in the order in which they were first heard of, so that what is filled in lies close together.
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
    started_seen INTEGER NOT NULL
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
    missing INTEGER NOT NULL
);
CREATE TABLE notes (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""


def open_to_read(path: Path) -> sqlite3.Connection:
    """A read-only connection to the journal at `path`, also while another process writes it.

    Raises:
        NoJournal: there is no such file.
        UnreadableJournal: it is not a journal, or one of a newer version.
    """
    if not path.is_file():
        raise NoJournal(path)
    address = path.absolute().as_uri()
    try:
        return _checked(_connected(f"{address}?mode=ro"), path)
    except sqlite3.DatabaseError as error:
        # Nothing can be written beside a file in a folder that is read-only. Nobody writes such a file, either.
        if not isinstance(error, sqlite3.OperationalError) or path.with_name(path.name + "-wal").exists():
            raise UnreadableJournal(path, f"SQLite says: {error}") from error
    return _checked(_connected(f"{address}?immutable=1"), path)


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes the journal at `path`, which is made if it does not exist.

    Raises:
        UnreadableJournal: the file is not a journal or of a newer version, or cannot be made.
    """
    try:
        # Autocommit mode: the writer begins and ends its transactions by itself.
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    except sqlite3.Error as error:
        raise UnreadableJournal(path, f"SQLite says: {error}") from error
    try:
        if path.stat().st_size == 0:
            _create(connection)
        _checked(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns, for the broker's copies are given up after it.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        connection.close()
        raise UnreadableJournal(path, f"SQLite says: {error}") from error
    except UnreadableJournal:
        connection.close()
        raise
    return connection


def _connected(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=30)


def _create(connection: sqlite3.Connection) -> None:
    # All in one transaction, so that a kill leaves nothing or everything.
    connection.executescript(
        f"BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; {TABLES} COMMIT;"
    )


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        # Reads a page beyond the header, where a torn file shows.
        connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    if application != APPLICATION_ID:
        connection.close()
        raise UnreadableJournal(path, "it is another program's database")
    if version > VERSION:
        connection.close()
        raise UnreadableJournal(path, f"its version {version} is newer than {VERSION}, the newest that this proj reads")
    return connection
