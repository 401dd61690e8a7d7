"""Journal archive: writes events to a journal, and restores the state from it when the dashboard starts again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proj.dashboard.live.workers import Workers
from proj.journal.recording.event_writer import EventWriter
from proj.journal.records import Gap, Run
from proj.journal.writer import JournalWriter
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from proj.dashboard.live.runs import LiveRun
    from proj.dashboard.live.state import State
    from proj.journal.records import Sample, Worker

#: The note with the time of the last event; the recorder writes the same note.
HEARD = "heard"
#: The setting of a run with the queues of its mark, so that it goes on after a restart.
QUEUES = "queues"


class JournalArchive(Service):
    """Writes a journal; only in the thread that started it."""

    def __init__(self, path: Path) -> None:
        """Write the file at `path`, which is created if it does not exist."""
        self._writer = JournalWriter(path)
        self._event_writer: EventWriter | None = None

    def start(self) -> None:
        """Open the file, and write a gap for the time since it was closed.

        Raises:
            UnreadableJournal: it is not a journal, or another process writes it.
        """
        self._writer.start()
        now = time.time()
        last = float(self._writer.journal.note(HEARD) or 0)
        if 0 < last < now:
            reason = "The dashboard was not running."
            self._writer.put_gaps([Gap(began=last, ended=now, events=None, reason=reason)])
        self._writer.put_note(HEARD, repr(now))
        self._writer.commit()
        self._event_writer = EventWriter(self._writer)

    def stop(self) -> None:
        """Close it; safe to call twice and before `start`."""
        if self._event_writer is not None:
            self._event_writer = None
            self._writer.put_note(HEARD, repr(time.time()))
            self._writer.commit()
        self._writer.stop()

    def give_up(self) -> None:
        """Close the file without writing, because it cannot be written."""
        self._event_writer = None
        self._writer.stop()

    def restore(self, state: State, keep: int) -> None:
        """Fill an empty state from the file, with its latest `keep` attempts."""
        journal = self._writer.journal
        state.workers = Workers(journal.workers(), journal.heartbeats())
        state.gaps.extend(journal.gaps())
        runs = journal.runs()
        for run in runs:
            state.runs.restore(run.name, began=run.began, heard=run.ended or run.began)
        state.load(journal.latest(keep), runs, now=time.time())
        for run in runs:
            if run.ended is None and QUEUES in run.settings:
                queues = run.settings[QUEUES]
                state.runs.reopen(run.name, frozenset(map(str, queues)) if queues else None)
        self._writer.commit()

    def write(
        self,
        heard: Iterable[tuple[float, object]],
        runs: Mapping[str, str],
        *,
        workers: Iterable[Worker],
        samples: Iterable[Sample],
        gaps: Iterable[Gap] = (),
    ) -> None:
        """Write events, workers, samples and gaps; `runs` has the marked run of a task by the task's id.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        if self._event_writer is None:
            raise RuntimeError("The journal archive is not started.")
        self._event_writer.write_workers(workers)
        self._event_writer.write(heard, runs)
        # The state knows the unknown workers itself.
        self._event_writer.unknown_workers.clear()
        self._writer.put_samples(samples)
        self._writer.put_gaps(gaps)
        self._writer.put_note(HEARD, repr(time.time()))
        self._writer.commit()

    def mark(self, run: LiveRun) -> None:
        """Write the begin or the end of a marked run; the next `write` commits it.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        settings = {QUEUES: None if run.queues is None else sorted(run.queues)}
        ended = None if run.active else run.heard
        self._writer.add_run(Run(name=run.name, dispatch=None, began=run.began, ended=ended, settings=settings))
