"""Reading a journal file: attempts, runs, workers, queue depths and gaps, also while a recorder writes it."""

from __future__ import annotations

import contextlib
import gc
import json
import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from proj.journal.attempt import Attempt
from proj.journal.event import AdaptiveCounts
from proj.journal.heartbeats import HeartbeatState
from proj.journal.records import Action, Gap, Run, Sample, Worker
from proj.journal.schema import ACTIONS_SINCE, open_to_read, unreadable, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Self

T = TypeVar("T")

#: In the order of the columns of `_ATTEMPTS`.
_FIELDS = tuple(field.name for field in fields(Attempt))
_ATTEMPTS = (
    "SELECT task_id, state, number, name, queue, worker, arguments, retries, redelivered, eta, sent, received, "
    "started, finished, runtime_s, run FROM attempts"
)
#: Parameters of one statement. Before SQLite 3.32 the limit was 999.
_MOST_PARAMETERS = 900


def open_journal(path: Path, *, whole: bool = True) -> JournalReader:
    """A reader of the journal at `path`; another process may be writing it.

    Unless `whole`, the file is not checked for damage, which takes 1.5 s for a million attempts.

    Raises:
        NoJournal: there is no such file.
        UnreadableJournal: it is not a journal, is damaged, or is one of a newer version; also at the end of a `with`
            block in which SQLite could not read it.
    """
    return JournalReader(open_to_read(path, whole=whole), path)


class JournalReader:
    """Reads a journal. Every method reads the file as it is at that moment."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Read the file at `path` over `connection`, which `close` closes."""
        self._connection = connection
        self._path = path

    def __enter__(self) -> Self:
        """Use it in a `with` block, which closes it."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Close it.

        Raises:
            UnreadableJournal: SQLite could not read it.
        """
        self.close()
        if isinstance(error, sqlite3.Error):
            raise unreadable(self._path, error) from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._connection.close()

    def runs(self) -> list[Run]:
        """All runs, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT name, dispatch, began, ended, settings, machine FROM runs ORDER BY began, name"
        )
        return [
            Run(
                name=name,
                dispatch=dispatch,
                began=began,
                ended=ended,
                settings=_loaded(settings),
                machine=_loaded(machine),
            )
            for name, dispatch, began, ended, settings, machine in rows
        ]

    def attempts(self, run: str | None = None) -> list[Attempt]:
        """The attempts of one run, or all: by the time of their first event, then by task id and number."""
        order = "ORDER BY coalesce(sent, received, started, finished), task_id, number"
        if run is None:
            rows = self._connection.execute(f"{_ATTEMPTS} {order}")
        else:
            rows = self._connection.execute(f"{_ATTEMPTS} WHERE run = ? {order}", (run,))
        texts: dict[str | None, str | None] = {}
        with _no_garbage_collection():
            return [_attempt(row, texts) for row in rows]

    def latest(self, count: int, run: str | None = None) -> list[Attempt]:
        """At most `count` attempts, of one run or of all: those of the tasks whose first events came last."""
        rows = self._connection.execute(
            f"{_ATTEMPTS} WHERE :run IS NULL OR run = :run ORDER BY rowid DESC LIMIT :count",
            {"run": run, "count": count},
        ).fetchall()
        texts: dict[str | None, str | None] = {}
        return [_attempt(row, texts) for row in reversed(rows)]

    def last_row(self) -> int:
        """The row of the newest attempt; 0 without any."""
        return int(self._connection.execute("SELECT coalesce(max(rowid), 0) FROM attempts").fetchone()[0])

    def first_time(self, *, above: int) -> float | None:
        """The time of the first event of the attempt in the first row behind a row; None without any."""
        row = self._connection.execute(
            "SELECT coalesce(sent, received, started, finished) FROM attempts WHERE rowid > ? ORDER BY rowid LIMIT 1",
            (above,),
        ).fetchone()
        return None if row is None else row[0]

    def attempts_where(
        self, condition: str, parameters: Sequence[object], *, limit: int, above: int = 0, up_to: int | None = None
    ) -> list[Attempt]:
        """At most `limit` attempts of which a condition of SQL is true, the newest rows first.

        With `up_to`, only rows from behind `above` up to it are looked through; without, SQLite uses an index.
        """
        rows, between = ("", ()) if up_to is None else ("rowid > ? AND rowid <= ? AND ", (above, up_to))
        found = self._connection.execute(
            f"{_ATTEMPTS} WHERE {rows}{condition} ORDER BY rowid DESC LIMIT ?", (*between, *parameters, limit)
        )
        return [_attempt(row, {}) for row in found]

    def counts(self) -> dict[str | None, int]:
        """The number of attempts of each run by its name; None stands for attempts that belong to no run."""
        return dict(self._connection.execute("SELECT run, count(*) FROM attempts GROUP BY run").fetchall())

    @property
    def version(self) -> int:
        """A number that changes when another connection has written to the file."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def states(self, run: str | None = None) -> dict[str, int]:
        """The number of attempts in each state, of one run or of all."""
        rows = self._connection.execute(
            "SELECT state, count(*) FROM attempts WHERE :run IS NULL OR run = :run GROUP BY state", {"run": run}
        )
        return dict(rows.fetchall())

    def attempts_of(self, task_ids: Iterable[str]) -> dict[str, list[Attempt]]:
        """The attempts of each task by its id, in the order of their numbers; unknown ids are left out."""
        found: dict[str, list[Attempt]] = {}
        for chunk in _chunks(task_ids):
            parameters = ", ".join("?" * len(chunk))
            for row in self._connection.execute(
                f"{_ATTEMPTS} WHERE task_id IN ({parameters}) ORDER BY task_id, number", chunk
            ):
                found.setdefault(row[0], []).append(_attempt(row, {}))
        return found

    def workers(self) -> list[Worker]:
        """All workers, by name."""
        rows = self._rows("SELECT * FROM workers ORDER BY name")
        return [_worker(row) for row in rows]

    def samples(self, run: str | None = None) -> list[Sample]:
        """The depths of queues by time: all, or those between the beginning and the end of one run."""
        rows = self._connection.execute(
            "SELECT time, queue, ready, unacknowledged, consumers FROM samples WHERE :run IS NULL OR EXISTS "
            "(SELECT 1 FROM runs WHERE name = :run AND time >= began AND (ended IS NULL OR time <= ended)) "
            "ORDER BY time, queue",
            {"run": run},
        )
        return [_sample(row) for row in rows]

    def samples_between(self, began: float, ended: float, *, most: int) -> list[Sample]:
        """The latest `most` depths of queues between two times, by time."""
        rows = self._connection.execute(
            "SELECT time, queue, ready, unacknowledged, consumers FROM samples WHERE time BETWEEN ? AND ? "
            "ORDER BY time DESC, queue LIMIT ?",
            (began, ended, most),
        ).fetchall()
        return [_sample(row) for row in reversed(rows)]

    def gaps(self) -> list[Gap]:
        """The times for which events are known to be missing, by their beginning."""
        rows = self._connection.execute("SELECT began, ended, events, reason FROM gaps ORDER BY began, ended, reason")
        return [Gap(began=began, ended=ended, events=events, reason=reason) for began, ended, events, reason in rows]

    def actions(self) -> list[Action]:
        """What people did, by time; none in a journal of a version that did not keep it."""
        if version_of(self._connection) < ACTIONS_SINCE:
            return []
        rows = self._rows("SELECT time, who, verb, what, count FROM actions ORDER BY time, rowid")
        return [Action(**row) for row in rows]

    def heartbeats(self) -> list[HeartbeatState]:
        """What was known from the last heartbeat of each worker; a recorder that continues the file needs it."""
        workers = {worker.name: worker for worker in self.workers()}
        states = []
        for row in self._rows("SELECT * FROM heartbeats"):
            told = [row.pop(name, None) for name in AdaptiveCounts._fields]
            letters = row.pop("letters", None)
            state = HeartbeatState(
                **row,
                adaptive=None if None in told else AdaptiveCounts(*told),
                letters_told=None if letters is None else _loaded(letters),
            )
            worker = workers.get(state.worker)
            if worker is not None:
                state.seen, state.skew_s = worker.started_seen, worker.skew_s
                state.window, state.held, state.given_back = worker.window, worker.held, worker.given_back
                state.letters = None if worker.letters is None else dict(worker.letters)
            states.append(state)
        return states

    def note(self, key: str) -> str | None:
        """The note that a writer left for the next writer under `key`."""
        row = self._connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _rows(self, statement: str) -> Iterator[dict[str, Any]]:
        """Rows by the names of their columns; a journal of an older version has fewer columns."""
        cursor = self._connection.execute(statement)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: it would look through millions of new objects, for a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _attempt(row: tuple[Any, ...], texts: dict[str | None, str | None]) -> Attempt:
    """The attempt of a row.

    It is made without the constructor of the frozen class, which takes three times as long. `texts` holds one copy of
    each state and name, which many attempts share.
    """
    attempt = Attempt.__new__(Attempt)
    values = attempt.__dict__
    values.update(zip(_FIELDS, row, strict=True))
    values["redelivered"] = values["redelivered"] == 1
    for name in ("state", "name", "queue", "worker", "run"):
        text = values[name]
        values[name] = texts.setdefault(text, text)
    return attempt


def _loaded(text: str) -> Any:  # noqa: ANN401 JSON has no narrower type
    try:
        return json.loads(text)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"{text!r} is not JSON") from error


def _worker(row: dict[str, Any]) -> Worker:
    """A worker; a journal of an older version has no `early` or no `letters`."""
    early, letters = row.get("early"), row.get("letters")
    lists = {
        "queues": tuple(_loaded(row["queues"])),
        "early": None if early is None else tuple(_loaded(early)),
        "letters": None if letters is None else tuple(_loaded(letters).items()),
    }
    return Worker(**{**row, **lists})


def _sample(row: tuple[Any, ...]) -> Sample:
    time, queue, ready, unacknowledged, consumers = row
    return Sample(time=time, queue=queue, ready=ready, unacknowledged=unacknowledged, consumers=consumers)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    everything = list(items)
    for begin in range(0, len(everything), _MOST_PARAMETERS):
        yield everything[begin : begin + _MOST_PARAMETERS]
