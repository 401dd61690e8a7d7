"""The archive: a journal that the dashboard fills with what it hears, and from which it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proj.dashboard.live.workers import Crew
from proj.journal.recording.event_writer import EventWriter
from proj.journal.records import Gap, Run
from proj.journal.writer import JournalWriter
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from proj.dashboard.live.runs import Stretch
    from proj.dashboard.live.state import Scene
    from proj.journal.records import Sample, Worker

#: The note that says until when was heard; the recorder keeps the same.
HEARD = "heard"
#: The setting of a run that has the queues of its mark, so that it goes on after a restart.
QUEUES = "queues"


class Archive(Service):
    """Writes a journal in the thread that started it."""

    def __init__(self, path: Path) -> None:
        """Write the file at `path`, which is made if it does not exist."""
        self._writer = JournalWriter(path)
        self._event_writer: EventWriter | None = None

    def start(self) -> None:
        """Open it, and write down that nobody listened since it was left.

        Raises:
            UnreadableJournal: it is not a journal, or someone else writes it.
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
        """Close it without another word: it cannot be written."""
        self._event_writer = None
        self._writer.stop()

    def begin(self, scene: Scene, keep: int) -> None:
        """Put into a scene that is empty what is in the file, the latest first."""
        journal = self._writer.journal
        scene.crew = Crew(journal.workers(), journal.heartbeats())
        scene.gaps.extend(journal.gaps())
        runs = journal.runs()
        for run in runs:
            scene.runs.resume(run.name, began=run.began, heard=run.ended or run.began)
        scene.load(journal.latest(keep), runs, now=time.time())
        for run in runs:
            if run.ended is None and QUEUES in run.settings:
                queues = run.settings[QUEUES]
                scene.runs.reopen(run.name, frozenset(map(str, queues)) if queues else None)
        self._writer.commit()

    def write(
        self,
        heard: Iterable[tuple[float, object]],
        runs: Mapping[str, str],
        *,
        workers: Iterable[Worker],
        samples: Iterable[Sample],
    ) -> None:
        """Keep what was heard; new tasks whose id is in `runs` belong to that run.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        if self._event_writer is None:
            raise RuntimeError("The archive is not started.")
        self._event_writer.write_workers(workers)
        self._event_writer.write(heard, runs)
        # The dashboard itself knows who is new.
        self._event_writer.unknown_workers.clear()
        self._writer.put_samples(samples)
        self._writer.put_note(HEARD, repr(time.time()))
        self._writer.commit()

    def mark(self, stretch: Stretch) -> None:
        """Keep that a run began or ended; the next write makes it last.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        settings = {QUEUES: None if stretch.queues is None else sorted(stretch.queues)}
        ended = None if stretch.active else stretch.heard
        self._writer.add_run(Run(name=stretch.name, dispatch=None, began=stretch.began, ended=ended, settings=settings))
