"""The file of a journal: read by anyone, written by one."""

from __future__ import annotations

import contextlib
import gc
import json
import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from proj.errors import UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.heartbeats import Pulse
from proj.journal.records import Gap, Run, Sample, Worker
from proj.journal.schema import open_to_read, open_to_write
from proj.journal.write_lock import Claim
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from typing_extensions import Self

T = TypeVar("T")

#: The fields of an attempt, which are also the columns of its table.
COLUMNS = tuple(field.name for field in fields(Attempt))
_ATTEMPTS = f"SELECT {', '.join(COLUMNS)} FROM attempts"  # noqa: S608 names of our own
#: Parameters of one statement; SQLite took 999 until 3.32.
_CHUNK = 900

#: How far an attempt has come; a state gives way only to a further one.
_RANK = "CASE {} WHEN 'sent' THEN 0 WHEN 'received' THEN 1 WHEN 'started' THEN 2 WHEN 'returned' THEN 3 WHEN 'lost' THEN 3 ELSE 4 END"  # noqa: E501 one expression
#: What has no None to say that it is not known.
_MERGED = {
    "state": f"CASE WHEN {_RANK.format('excluded.state')} > {_RANK.format('state')} THEN excluded.state ELSE state END",
    "arguments": "coalesce(nullif(arguments, ''), excluded.arguments)",
    "retries": "max(retries, excluded.retries)",
    "redelivered": "max(redelivered, excluded.redelivered)",
}
_INSERT = f"INSERT INTO attempts ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 as above
_PUT_ATTEMPT = f"{_INSERT} ON CONFLICT (task_id, number) DO UPDATE SET " + ", ".join(
    f"{name} = {_MERGED.get(name, f'coalesce({name}, excluded.{name})')}"
    for name in COLUMNS
    if name not in {"task_id", "number"}
)


def open_journal(path: Path) -> Journal:
    """The journal at `path`, to be read, also while it is written.

    Raises:
        NoJournal: there is no such file.
        UnreadableJournal: it is not a journal, or one of a newer version.
    """
    return Journal(open_to_read(path))


class Journal:
    """What a file holds; every method reads it as it is at that moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read over a connection, which becomes the journal's own."""
        self._connection = connection

    def __enter__(self) -> Self:
        """Read it in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let the file go; safe to call twice."""
        self._connection.close()

    def runs(self) -> list[Run]:
        """The runs, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT name, dispatch, began, ended, settings, machine FROM runs ORDER BY began, name"
        )
        return [
            Run(
                name=name,
                dispatch=dispatch,
                began=began,
                ended=ended,
                settings=json.loads(settings),
                machine=json.loads(machine),
            )
            for name, dispatch, began, ended, settings, machine in rows
        ]

    def attempts(self, run: str | None = None) -> list[Attempt]:
        """The attempts, of one run or of all, by the time at which they were sent or first heard of, then number."""
        order = "ORDER BY coalesce(sent, received, started, finished), task_id, number"
        if run is None:
            rows = self._connection.execute(f"{_ATTEMPTS} {order}")
        else:
            rows = self._connection.execute(f"{_ATTEMPTS} WHERE run = ? {order}", (run,))
        shared: dict[str | None, str | None] = {}
        with _no_collection():
            return [_attempt(row, shared) for row in rows]

    def latest(self, count: int, run: str | None = None) -> list[Attempt]:
        """So many attempts at most, of one run or of all: those of the tasks that were first heard of last."""
        rows = self._connection.execute(
            f"{_ATTEMPTS} WHERE ?1 IS NULL OR run = ?1 ORDER BY rowid DESC LIMIT ?2", (run, count)
        ).fetchall()
        shared: dict[str | None, str | None] = {}
        return [_attempt(row, shared) for row in reversed(rows)]

    def counts(self) -> dict[str | None, int]:
        """How many attempts belong to each run, and to none."""
        return dict(self._connection.execute("SELECT run, count(*) FROM attempts GROUP BY run").fetchall())

    @property
    def version(self) -> int:
        """A number that changes when someone else has written to the file."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def states(self, run: str | None = None) -> dict[str, int]:
        """How many attempts, of one run or of all, are in each state."""
        rows = self._connection.execute(
            "SELECT state, count(*) FROM attempts WHERE ?1 IS NULL OR run = ?1 GROUP BY state", (run,)
        )
        return dict(rows.fetchall())

    def attempts_of(self, task_ids: Iterable[str]) -> dict[str, list[Attempt]]:
        """The attempts of some tasks by number; a task that is not in the file is not in the answer."""
        found: dict[str, list[Attempt]] = {}
        for chunk in _chunks(task_ids):
            marks = ", ".join("?" * len(chunk))
            for row in self._connection.execute(
                f"{_ATTEMPTS} WHERE task_id IN ({marks}) ORDER BY task_id, number", chunk
            ):
                found.setdefault(row[0], []).append(_attempt(row, {}))
        return found

    def workers(self) -> list[Worker]:
        """The workers, by name."""
        rows = self._connection.execute(
            "SELECT name, slots, queues, dispatch, skew_s, processed, started_seen FROM workers ORDER BY name"
        )
        return [
            Worker(
                name=name,
                slots=slots,
                queues=tuple(json.loads(queues)),
                dispatch=dispatch,
                skew_s=skew_s,
                processed=processed,
                started_seen=started_seen,
            )
            for name, slots, queues, dispatch, skew_s, processed, started_seen in rows
        ]

    def samples(self, run: str | None = None) -> list[Sample]:
        """The depths of queues, by time: all, or those between the begin and the end of one run."""
        rows = self._connection.execute(
            "SELECT time, queue, ready, unacknowledged, consumers FROM samples WHERE ?1 IS NULL OR EXISTS "
            "(SELECT 1 FROM runs WHERE name = ?1 AND time >= began AND (ended IS NULL OR time <= ended)) "
            "ORDER BY time, queue",
            (run,),
        )
        return [_sample(row) for row in rows]

    def samples_between(self, began: float, ended: float, *, most: int) -> list[Sample]:
        """The depths of queues between two times, by time; so many at most, the latest."""
        rows = self._connection.execute(
            "SELECT time, queue, ready, unacknowledged, consumers FROM samples WHERE time BETWEEN ? AND ? "
            "ORDER BY time DESC, queue LIMIT ?",
            (began, ended, most),
        ).fetchall()
        return [_sample(row) for row in reversed(rows)]

    def gaps(self) -> list[Gap]:
        """The times in which events are known to be missing, in their order."""
        rows = self._connection.execute("SELECT began, ended, events, reason FROM gaps ORDER BY began, ended, reason")
        return [Gap(began=began, ended=ended, events=events, reason=reason) for began, ended, events, reason in rows]

    def pulses(self) -> list[Pulse]:
        """What the last heartbeats of workers told, for a recorder that goes on."""
        rows = self._connection.execute(
            "SELECT worker, pid, time, heartbeats.processed, offset, missing, coalesce(started_seen, 0), skew_s "
            "FROM heartbeats LEFT JOIN workers ON worker = name"
        )
        return [Pulse(*row) for row in rows]

    def note(self, key: str) -> str | None:
        """What a writer noted for the next one under `key`."""
        row = self._connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])


class Writer(Service):
    """Fills a journal: what was put since the last `commit` is there together, or not at all."""

    def __init__(self, path: Path) -> None:
        """Write the file at `path`, which is made if it does not exist."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._claim: Claim | None = None

    def start(self) -> None:
        """Open the file.

        Raises:
            UnreadableJournal: it is not a journal or of a newer version, or cannot be made, or someone else writes it.
        """
        self._connection = open_to_write(self._path)
        self._claim = Claim(self._path)
        try:
            self._claim.take()
        except UnreadableJournal:
            self.stop()
            raise

    def stop(self) -> None:
        """Give up what was not committed, and leave one file that can be read from anywhere."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        # Not while someone reads it; then the log stays beside it, which every reader understands.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.close()

    @property
    def journal(self) -> Journal:
        """The file as this writer sees it, with what is not committed; closed with the writer."""
        return Journal(self._begun())

    def commit(self) -> None:
        """Make what was put since the last commit last, on the disk."""
        if self._opened().in_transaction:
            self._opened().execute("COMMIT")

    def add_run(self, run: Run) -> None:
        """Begin a run; one of that name that is there goes on, with the settings it has."""
        self._begun().execute(
            "INSERT INTO runs (name, dispatch, began, ended, settings, machine) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET ended = excluded.ended",
            (run.name, run.dispatch, run.began, run.ended, json.dumps(run.settings), json.dumps(run.machine)),
        )

    def end_run(self, name: str, ended: float) -> None:
        """End a run, in seconds since the epoch."""
        self._begun().execute("UPDATE runs SET ended = ? WHERE name = ?", (ended, name))

    def put_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Fill in what is known of attempts; what was known before stays, and a state only goes forward."""
        self._begun().executemany(_PUT_ATTEMPT, map(_row, attempts))

    def replace_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Put all that is known of some tasks in the place of what was: late events told them apart."""
        rows = [_row(attempt) for attempt in attempts]
        connection = self._begun()
        connection.executemany("DELETE FROM attempts WHERE task_id = ?", {(row[0],) for row in rows})
        connection.executemany(_INSERT, rows)

    def put_workers(self, workers: Iterable[Worker]) -> None:
        """Take what workers say now; what they do not say stays, and counts never shrink."""
        self._begun().executemany(
            "INSERT INTO workers (name, slots, queues, dispatch, skew_s, processed, started_seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET slots = coalesce(excluded.slots, slots), "
            "queues = coalesce(nullif(excluded.queues, '[]'), queues), "
            "dispatch = coalesce(excluded.dispatch, dispatch), skew_s = coalesce(excluded.skew_s, skew_s), "
            "processed = coalesce(max(excluded.processed, processed), excluded.processed, processed), "
            "started_seen = max(excluded.started_seen, started_seen)",
            (
                (
                    worker.name,
                    worker.slots,
                    json.dumps(worker.queues),
                    worker.dispatch,
                    worker.skew_s,
                    worker.processed,
                    worker.started_seen,
                )
                for worker in workers
            ),
        )

    def put_samples(self, samples: Iterable[Sample]) -> None:
        """Add depths of queues."""
        self._begun().executemany(
            "INSERT OR IGNORE INTO samples (time, queue, ready, unacknowledged, consumers) VALUES (?, ?, ?, ?, ?)",
            ((sample.time, sample.queue, sample.ready, sample.unacknowledged, sample.consumers) for sample in samples),
        )

    def put_gaps(self, gaps: Iterable[Gap]) -> None:
        """Add times in which events are known to be missing."""
        self._begun().executemany(
            "INSERT OR IGNORE INTO gaps (began, ended, events, reason) VALUES (?, ?, ?, ?)",
            ((gap.began, gap.ended, gap.events, gap.reason) for gap in gaps),
        )

    def put_pulses(self, pulses: Iterable[Pulse]) -> None:
        """Keep what the last heartbeats of workers told."""
        self._begun().executemany(
            "INSERT OR REPLACE INTO heartbeats (worker, pid, time, processed, offset, missing) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((pulse.worker, pulse.pid, pulse.time, pulse.processed, pulse.offset, pulse.missing) for pulse in pulses),
        )

    def put_note(self, key: str, value: str) -> None:
        """Note something for the next writer of the file."""
        self._begun().execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, value))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("The writer is not started.")
        return self._connection

    def _begun(self) -> sqlite3.Connection:
        """The connection, inside a transaction that holds off other writers."""
        connection = self._opened()
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        return connection


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Spare the garbage collector millions of new objects of which none is garbage: a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _attempt(row: tuple[Any, ...], shared: dict[str | None, str | None]) -> Attempt:
    """The attempt of a row, made without the constructor of a frozen class, which takes three times as long.

    Names that many attempts have are one text in memory, which `shared` keeps.
    """
    attempt = Attempt.__new__(Attempt)
    values = attempt.__dict__
    values.update(zip(COLUMNS, row, strict=True))
    values["redelivered"] = values["redelivered"] == 1
    for name in ("state", "name", "queue", "worker", "run"):
        text = values[name]
        values[name] = shared.setdefault(text, text)
    return attempt


def _sample(row: tuple[Any, ...]) -> Sample:
    time, queue, ready, unacknowledged, consumers = row
    return Sample(time=time, queue=queue, ready=ready, unacknowledged=unacknowledged, consumers=consumers)


def _row(attempt: Attempt) -> tuple[Any, ...]:
    values = attempt.__dict__
    return tuple([values[name] for name in COLUMNS])


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    everything = list(items)
    for begin in range(0, len(everything), _CHUNK):
        yield everything[begin : begin + _CHUNK]
