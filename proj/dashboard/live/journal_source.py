"""The recording: a journal that is only read, also while a recorder writes it."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from proj.dashboard.live.runs import MOST_RUNS
from proj.dashboard.live.state import MOST_SAMPLES, Scene
from proj.dashboard.live.workers import Crew
from proj.errors import UnreadableJournal
from proj.journal.reader import open_journal
from proj.journal.write_lock import WriteLock
from proj.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from proj.journal.reader import JournalReader


class Recording(Service):
    """Reads a journal in the thread that started it."""

    def __init__(self, path: Path, keep: int) -> None:
        """Read the file at `path`, so many attempts of a run at most."""
        self._path = path
        self._keep = keep
        self._journal: JournalReader | None = None
        self._write_lock: WriteLock | None = None
        #: What was read last, and of which version of the file.
        self._scenes: dict[str | None, Scene] = {}
        self._version: tuple[int, bool] | None = None

    def start(self) -> None:
        """Open it.

        Raises:
            NoJournal: there is no such file.
            UnreadableJournal: it is not a journal, or one of a newer version.
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

    def scene(self, run: str | None) -> Scene:
        """What is in the file now, with all there is of the run of that name.

        Raises:
            UnreadableJournal: it cannot be read any more.
        """
        if self._journal is None or self._write_lock is None:
            raise RuntimeError("The recording is not started.")
        try:
            version = (self._journal.version, self._write_lock.is_held())
            if version != self._version:
                self._version = version
                self._scenes.clear()
            if run not in self._scenes:
                self._scenes[run] = self._read(self._journal, run, live=version[1])
        except sqlite3.Error as error:
            raise UnreadableJournal(self._path, f"SQLite says: {error}") from error
        return self._scenes[run]

    def changed(self) -> bool:
        """Whether there is something else in the file than at the last look."""
        if self._journal is None or self._write_lock is None:
            return False
        return (self._journal.version, self._write_lock.is_held()) != self._version

    def _read(self, journal: JournalReader, run: str | None, *, live: bool) -> Scene:
        now = time.time()
        scene = Scene(2 * self._keep, crew=Crew(journal.workers(), journal.heartbeats()))
        scene.now, scene.live = now, live
        counts = journal.counts()
        runs = [one for one in journal.runs() if one.name in counts][-MOST_RUNS:]
        for one in runs:
            scene.runs.resume(one.name, began=one.began, heard=one.ended or one.began)
        scene.load(journal.latest(self._keep), runs, now=now)
        named = {one.name for one in runs}
        if run in named:
            scene.load(journal.latest(self._keep, run), runs, now=now)
        for name in named:
            scene.runs[name].attempts = counts[name]
        scene.elsewhere = frozenset(named)
        scene.gaps.extend(journal.gaps())
        shown = scene.runs[run] if run is not None and run in scene.runs else scene.newest()
        if shown is not None:
            scene.sample(journal.samples_between(shown.began, max(shown.heard, shown.began), most=4 * MOST_SAMPLES))
        return scene
