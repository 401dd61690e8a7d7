"""The hearing: what was heard on the bus, and what workers and the broker answer, folded into one scene."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from proj.broker.queue_depths import QueueDepths
from proj.dashboard.live.broker_poll import Broker
from proj.dashboard.live.history import grouped
from proj.dashboard.live.journal_archive import Archive
from proj.dashboard.live.runs import mark
from proj.dashboard.live.state import Scene
from proj.journal.event import TaskEvent, parsed
from proj.journal.recording.pollers import WorkerPoller
from proj.journal.run_marks import EVENT
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from queue import SimpleQueue

    from celery import Celery

    from proj.journal.attempt import Attempt
    from proj.journal.records import Sample, Worker

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Workers that are asked in one round what they are; whoever can publish could name any number.
MOST_ASKED = 100
#: Seconds between two notes in the journal that someone listens, when nothing is heard.
NOTE_S = 5.0


class Hearing(Service):
    """Fills a scene, and a journal if there is one, in the thread that starts it."""

    def __init__(
        self,
        app: Celery,
        *,
        keep: int,
        journal: Path | None,
        broker_api: str | None,
        wanted: Callable[[], bool],
    ) -> None:
        """Ask the workers and the broker of `app`; `wanted` answers whether anyone wants to know."""
        self.scene = Scene(keep)
        #: Events that were taken.
        self.heard = 0
        self._keep = keep
        self._archive = None if journal is None else Archive(journal)
        self._broker = Broker(app, QueueDepths(app, broker_api=broker_api), wanted=wanted)
        # Flower itself has workers send events.
        self._worker_poller = WorkerPoller(app, enable=False)
        self._wrote = 0.0

    def start(self) -> None:
        """Begin with what is in the journal.

        Raises:
            UnreadableJournal: it cannot be used, or someone else writes it.
        """
        if self._archive is not None:
            self._archive.start()
            self._archive.begin(self.scene, self._keep)
        self._broker.start()
        self._worker_poller.start()

    def stop(self) -> None:
        """Ask nobody any more, and close the journal; safe to call twice and before `start`."""
        self._broker.stop()
        self._worker_poller.stop()
        if self._archive is not None:
            self._archive.stop()

    def look_again(self) -> None:
        """Have the broker asked now."""
        self._broker.poll_soon()

    def fold(self, heard: Sequence[tuple[float, object]]) -> tuple[bool, list[tuple[str, Attempt]]]:
        """Take what was heard and answered; whether anything changed, and the attempts that began to run."""
        scene, now = self.scene, time.time()
        scene.now = now
        workers = scene.crew.introduce(_all(self._worker_poller.workers), now)
        samples = _all(self._broker.samples)
        scene.sample(samples)
        changed = bool(heard or workers or samples or scene.view is not self._broker.view)
        scene.view = self._broker.view
        runs: dict[str, str] = {}
        begun = self._fold(heard, runs)
        self.heard += len(heard)
        if scene.crew.strangers:
            self._worker_poller.ask(set(sorted(scene.crew.strangers)[:MOST_ASKED]))
            scene.crew.strangers.clear()
        self._write(heard, runs, workers, samples, now)
        return changed, begun

    def _fold(self, heard: Sequence[tuple[float, object]], runs: dict[str, str]) -> list[tuple[str, Attempt]]:
        """Learn from events in their order; `runs` gets the named run of each task that has one."""
        begun: list[tuple[str, Attempt]] = []
        told: list[tuple[float, TaskEvent]] = []
        for time_, event in heard:
            known = parsed(event, arguments=False)
            if isinstance(known, TaskEvent):
                told.append((time_, known))
            elif known is not None:
                gap = self.scene.crew.beat(known, time_)
                if gap is not None:
                    self.scene.gaps.append(gap)
            elif isinstance(event, dict) and event.get("type") == EVENT:
                begun += self._learn(told, runs)
                told = []
                self._mark(event, time_)
        return begun + self._learn(told, runs)

    def _learn(self, told: Sequence[tuple[float, TaskEvent]], runs: dict[str, str]) -> list[tuple[str, Attempt]]:
        by_task = grouped(told)
        begun = self.scene.history.fold(by_task)
        for _, attempt in begun:
            if attempt.worker is not None and attempt.started is not None:
                self.scene.crew.started(attempt.worker, attempt.started)
        if self._archive is not None:
            for task_id in by_task:
                task = self.scene.history.get(task_id)
                if task is not None and task.run in self.scene.runs and self.scene.runs[task.run].marked:
                    runs[task_id] = task.run
        return begun

    def _mark(self, event: Mapping[str, object], heard: float) -> None:
        known = mark(event)
        if known is None:
            return
        stretch = self.scene.runs.mark(known, heard)
        if self._archive is not None:
            try:
                self._archive.mark(stretch)
            except sqlite3.Error as error:
                self._give_up(error)

    def _write(
        self,
        heard: Sequence[tuple[float, object]],
        runs: Mapping[str, str],
        workers: Sequence[Worker],
        samples: Sequence[Sample],
        now: float,
    ) -> None:
        if self._archive is None or not (heard or workers or samples or now - self._wrote >= NOTE_S):
            return
        self._wrote = now
        try:
            self._archive.write(heard, runs, workers=workers, samples=samples)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the journal: the page matters more."""
        logger.error("The journal cannot be written any more: %s", error, extra={"action": "journal_lost"})
        self.scene.trouble = (
            f"The journal cannot be written any more, so this history ends with the dashboard: {error}."
        )
        if self._archive is not None:
            self._archive.give_up()
            self._archive = None


def _all(queue: SimpleQueue[T]) -> list[T]:
    # Nobody else takes from it, so what it holds now it also has to give.
    return [queue.get() for _ in range(queue.qsize())]
