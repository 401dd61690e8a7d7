"""Journal source: reads the state from a recorded journal, also while a recorder writes it."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from proj.dashboard.live.now.restored import restore
from proj.dashboard.live.runs import MOST_RUNS
from proj.dashboard.live.state import State
from proj.dashboard.live.workers import Workers
from proj.journal.reader import open_journal
from proj.journal.schema import unreadable
from proj.journal.write_lock import WriteLock
from proj.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from proj.delivery.dead_letters.app_queues import Routes
    from proj.journal.reader import JournalReader

#: The most depths of queues that are read of a run.
MOST_SAMPLES = 28_800


class JournalSource(Service):
    """Reads a journal; only in the thread that started it."""

    def __init__(self, path: Path, keep: int, *, routes: Routes | None = None) -> None:
        """Read the file at `path`, at most `keep` attempts of a run; `routes` tell queues that it does not have."""
        self._routes = routes
        self._path = path
        self._keep = keep
        self._journal: JournalReader | None = None
        self._write_lock: WriteLock | None = None
        #: The states that were read, by the name of the run, and the version of the file that they are of.
        self._states: dict[str | None, State] = {}
        self._version: tuple[int, bool] | None = None

    def start(self) -> None:
        """Open the file.

        Raises:
            NoJournal: there is no such file.
            UnreadableJournal: it is not a journal, or has a newer format.
        """
        self._journal = open_journal(self._path)
        self._write_lock = WriteLock(self._path)

    def stop(self) -> None:
        """Close it; safe to call twice and before `start`."""
        journal, self._journal = self._journal, None
        lock, self._write_lock = self._write_lock, None
        if journal is not None:
            journal.close()
        if lock is not None:
            lock.close()

    def state(self, run: str | None) -> State:
        """The state in the file now: its latest attempts, and those of the named run.

        Raises:
            UnreadableJournal: the file cannot be read any more.
        """
        if self._journal is None or self._write_lock is None:
            raise RuntimeError("The journal source is not started.")
        try:
            version = (self._journal.version, self._write_lock.is_held())
            if version != self._version:
                self._version = version
                self._states.clear()
            if run not in self._states:
                self._states[run] = self._read(self._journal, run, live=version[1])
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from error
        return self._states[run]

    def changed(self) -> bool:
        """Whether the file has changed since it was read."""
        if self._journal is None or self._write_lock is None:
            return False
        return (self._journal.version, self._write_lock.is_held()) != self._version

    def _read(self, journal: JournalReader, run: str | None, *, live: bool) -> State:
        now = time.time()
        state = State(2 * self._keep, workers=Workers(journal.workers(), journal.heartbeats()))
        state.now, state.live, state.routes = now, live, self._routes
        counts = journal.counts()
        runs = [one for one in journal.runs() if one.name in counts][-MOST_RUNS:]
        for one in runs:
            state.runs.restore(one.name, began=one.began, heard=one.ended or one.began)
        state.load(journal.latest(self._keep), runs, now=now)
        if not live:
            # What was open at the end stays so.
            state.now = _end(journal, state) or now
        restore(state, state.now)
        named = {one.name for one in runs}
        if run in named:
            state.load(journal.latest(self._keep, run), runs, now=now)
        for name in named:
            state.runs[name].attempts = counts[name]
        state.stored_runs = frozenset(named)
        state.gaps.extend(journal.gaps())
        shown = state.runs[run] if run is not None and run in state.runs else state.newest_run()
        if shown is not None:
            state.add_samples(journal.samples_between(shown.began, max(shown.heard, shown.began), most=MOST_SAMPLES))
        return state


def _end(journal: JournalReader, state: State) -> float:
    """The time of the last event or heartbeat."""
    times = [one.time for one in journal.heartbeats()]
    for _, task in state.history:
        times += [one.finished or one.started or one.received or one.sent or 0.0 for one in task.attempts]
    return max(times, default=0.0)
