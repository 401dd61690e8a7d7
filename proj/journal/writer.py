"""Writing a journal file: one process at a time, in transactions that are on the disk when `commit` returns."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from operator import attrgetter
from typing import TYPE_CHECKING

from proj.errors import UnreadableJournal
from proj.journal.event import AdaptiveCounts
from proj.journal.reader import JournalReader
from proj.journal.schema import open_to_write, unreadable, update
from proj.journal.write_lock import WriteLock
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from proj.journal.attempt import Attempt
    from proj.journal.heartbeats import HeartbeatState
    from proj.journal.records import Action, Gap, Run, Sample, Worker

_INSERT_ATTEMPT = """
INSERT INTO attempts (
    task_id, number, state, name, queue, worker, arguments, retries, redelivered, eta, sent, received, started,
    finished, runtime_s, run
) VALUES (
    :task_id, :number, :state, :name, :queue, :worker, :arguments, :retries, :redelivered, :eta, :sent, :received,
    :started, :finished, :runtime_s, :run
)
"""
#: Fills in what is not known yet. The state changes only to one of a higher rank: an end (4) beats lost and returned,
#: which are conclusions from a later delivery.
_MERGE_ATTEMPT = f"""{_INSERT_ATTEMPT}
ON CONFLICT (task_id, number) DO UPDATE SET
    state = CASE WHEN
        CASE excluded.state
            WHEN 'sent' THEN 0 WHEN 'received' THEN 1 WHEN 'started' THEN 2 WHEN 'returned' THEN 3 WHEN 'lost' THEN 3
            ELSE 4 END
        > CASE state
            WHEN 'sent' THEN 0 WHEN 'received' THEN 1 WHEN 'started' THEN 2 WHEN 'returned' THEN 3 WHEN 'lost' THEN 3
            ELSE 4 END
        THEN excluded.state ELSE state END,
    name = coalesce(name, excluded.name),
    queue = coalesce(queue, excluded.queue),
    worker = coalesce(worker, excluded.worker),
    arguments = coalesce(nullif(arguments, ''), excluded.arguments),
    retries = max(retries, excluded.retries),
    redelivered = max(redelivered, excluded.redelivered),
    eta = coalesce(eta, excluded.eta),
    sent = coalesce(sent, excluded.sent),
    received = coalesce(received, excluded.received),
    started = coalesce(started, excluded.started),
    finished = coalesce(finished, excluded.finished),
    runtime_s = coalesce(runtime_s, excluded.runtime_s),
    run = coalesce(run, excluded.run)
"""
_MERGE_WORKER = """
INSERT INTO workers (name, slots, queues, dispatch, skew_s, processed, started_seen, window, held, given_back, early,
    letters)
VALUES (:name, :slots, :queues, :dispatch, :skew_s, :processed, :started_seen, :window, :held, :given_back, :early,
    :letters)
ON CONFLICT (name) DO UPDATE SET
    slots = coalesce(excluded.slots, slots),
    queues = coalesce(nullif(excluded.queues, '[]'), queues),
    dispatch = coalesce(excluded.dispatch, dispatch),
    skew_s = coalesce(excluded.skew_s, skew_s),
    processed = coalesce(max(excluded.processed, processed), excluded.processed, processed),
    started_seen = max(excluded.started_seen, started_seen),
    window = coalesce(max(excluded.window, window), excluded.window, window),
    held = coalesce(max(excluded.held, held), excluded.held, held),
    given_back = coalesce(max(excluded.given_back, given_back), excluded.given_back, given_back),
    early = coalesce(excluded.early, early),
    letters = coalesce(excluded.letters, letters)
"""


class JournalWriter(Service):
    """Writes a journal. What was put since the last `commit` is written as a whole, or not at all."""

    def __init__(self, path: Path) -> None:
        """Write the file at `path`; `start` makes it if it does not exist."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._write_lock: WriteLock | None = None

    def start(self) -> None:
        """Open the file, lock it against other writers, and bring an older one to the newest version.

        Raises:
            UnreadableJournal: the file is not a journal, has a newer version, cannot be made, or another process
                writes it.
        """
        self._connection = open_to_write(self._path)
        self._write_lock = WriteLock(self._path)
        try:
            self._write_lock.acquire()
            update(self._connection, self._path)
        except UnreadableJournal:
            self.stop()
            raise

    def stop(self) -> None:
        """Drop what was not committed, and close the file; safe to call twice and before `start`."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        # Moves SQLite's write-ahead log into the file, so that it can be copied alone. This fails while another process
        # reads the journal; the log then stays beside the file, where every reader finds it.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        lock, self._write_lock = self._write_lock, None
        if lock is not None:
            lock.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it.

        Raises:
            UnreadableJournal: SQLite could not write it, as when the disk is full.
        """
        super().__exit__(kind, error, trace)
        if isinstance(error, sqlite3.Error):
            raise unreadable(self._path, error) from error

    @property
    def journal(self) -> JournalReader:
        """A reader that also sees what is not committed yet; closed with the writer."""
        return JournalReader(self._transaction(), self._path)

    def commit(self) -> None:
        """Write what was put since the last commit to the disk."""
        if self._opened().in_transaction:
            self._opened().execute("COMMIT")

    def add_run(self, run: Run) -> None:
        """Add a run. If the file has a run of that name, it keeps its settings and gets the new end."""
        self._transaction().execute(
            "INSERT INTO runs (name, dispatch, began, ended, settings, machine) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET ended = excluded.ended",
            (run.name, run.dispatch, run.began, run.ended, json.dumps(run.settings), json.dumps(run.machine)),
        )

    def end_run(self, name: str, ended: float) -> None:
        """Set the end of a run, in seconds since the epoch."""
        self._transaction().execute("UPDATE runs SET ended = ? WHERE name = ?", (ended, name))

    def put_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Add attempts, or fill in the fields that an attempt in the file has not; a state only goes forward."""
        self._transaction().executemany(_MERGE_ATTEMPT, map(vars, attempts))

    def replace_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Replace all attempts of some tasks: late events showed that one attempt in the file was several."""
        rows = [vars(attempt) for attempt in attempts]
        connection = self._transaction()
        connection.executemany("DELETE FROM attempts WHERE task_id = ?", {(row["task_id"],) for row in rows})
        connection.executemany(_INSERT_ATTEMPT, rows)

    def put_workers(self, workers: Iterable[Worker]) -> None:
        """Add workers, or update them. None and empty queues change nothing; counts never shrink."""
        rows = (
            {
                **vars(worker),
                "queues": json.dumps(worker.queues),
                "early": None if worker.early is None else json.dumps(worker.early),
                "letters": None if worker.letters is None else json.dumps(dict(worker.letters)),
            }
            for worker in workers
        )
        self._transaction().executemany(_MERGE_WORKER, rows)

    def put_samples(self, samples: Iterable[Sample]) -> None:
        """Add depths of queues."""
        self._transaction().executemany(
            "INSERT OR IGNORE INTO samples (time, queue, ready, unacknowledged, consumers) VALUES (?, ?, ?, ?, ?)",
            map(attrgetter("time", "queue", "ready", "unacknowledged", "consumers"), samples),
        )

    def put_gaps(self, gaps: Iterable[Gap]) -> None:
        """Add times for which events are known to be missing."""
        self._transaction().executemany(
            "INSERT OR IGNORE INTO gaps (began, ended, events, reason) VALUES (:began, :ended, :events, :reason)",
            map(vars, gaps),
        )

    def put_actions(self, actions: Iterable[Action]) -> None:
        """Add what people did."""
        self._transaction().executemany(
            "INSERT INTO actions (time, who, verb, what, count) VALUES (:time, :who, :verb, :what, :count)",
            map(vars, actions),
        )

    def put_heartbeats(self, heartbeats: Iterable[HeartbeatState]) -> None:
        """Write what is known from the last heartbeats of workers."""
        self._transaction().executemany(
            "INSERT OR REPLACE INTO heartbeats "
            "(worker, pid, time, processed, offset, missing, window, held, given_back, letters) "
            "VALUES (:worker, :pid, :time, :processed, :offset, :missing, :window, :held, :given_back, :letters)",
            ({**vars(state), **_told(state)} for state in heartbeats),
        )

    def put_note(self, key: str, value: str) -> None:
        """Leave a note for the next writer of the file."""
        self._transaction().execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, value))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("The writer is not started.")
        return self._connection

    def _transaction(self) -> sqlite3.Connection:
        """The connection, inside a transaction that keeps other writers out."""
        connection = self._opened()
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        return connection


def _told(state: HeartbeatState) -> dict[str, int | str | None]:
    """What the last heartbeat told of adaptive dispatch and of dead letters; None for what it did not tell."""
    adaptive = dict.fromkeys(AdaptiveCounts._fields) if state.adaptive is None else state.adaptive._asdict()
    return {**adaptive, "letters": None if state.letters_told is None else json.dumps(dict(state.letters_told))}
