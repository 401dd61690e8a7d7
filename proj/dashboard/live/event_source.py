"""Event source: updates the state from events, workers' answers and broker polls, and writes them to a journal."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from proj.broker.queue_depths import QueueDepths
from proj.dashboard.live.broker_poll import BrokerPoller
from proj.dashboard.live.history import grouped
from proj.dashboard.live.journal_archive import JournalArchive
from proj.dashboard.live.now.restored import restore
from proj.dashboard.live.now.tally import QueueKey
from proj.dashboard.live.now.tick import advance
from proj.dashboard.live.runs import parsed_mark
from proj.dashboard.live.state import State
from proj.delivery.dead_letters.app_queues import Routes, dead_letter_queue, queue_types
from proj.errors import ProjError
from proj.journal.event import RECEIVED, TaskEvent, WorkerEvent, parsed
from proj.journal.recording.pollers import WorkerPoller
from proj.journal.records import Gap
from proj.journal.run_marks import EVENT
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from queue import SimpleQueue

    from celery import Celery

    from proj.dashboard.live.broker_poll import BrokerState
    from proj.journal.attempt import Attempt
    from proj.journal.records import Sample, Worker

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Workers that are inspected in one round. Anyone who can publish could name any number.
MOST_ASKED = 100
#: Seconds after which the journal gets a new time of the last event, although there was none.
NOTE_S = 5.0


class EventSource(Service):
    """Keeps a state up to date, and fills a journal if one is given, in the thread that starts it."""

    def __init__(
        self,
        app: Celery,
        *,
        keep: int,
        journal: Path | None,
        broker_api: str | None,
        wanted: Callable[[], bool],
        arguments: bool = False,
    ) -> None:
        """Ask the workers and the broker of `app`.

        `wanted` returns whether someone looks at the result; `arguments` says whether those of tasks are kept.
        """
        self.state = State(keep)
        self.state.dead_letters = dead_letter_queue(app)
        self.state.routes = Routes(app)
        self.state.app_queues = _queues_of(app)
        #: Events that were taken.
        self.heard = 0
        self._keep = keep
        self._arguments = arguments
        self._archive = None if journal is None else JournalArchive(journal)
        #: What asks the broker, and what asks the workers.
        queue_depths = QueueDepths(app, broker_api=broker_api)
        self._management = queue_depths.management
        self.broker_poller = BrokerPoller(app, queue_depths, wanted=wanted)
        # Flower itself enables the workers' events.
        self.worker_poller = WorkerPoller(app, enable=False)
        self._written_at = 0.0

    def start(self) -> None:
        """Begin with what is in the journal.

        Raises:
            UnreadableJournal: it cannot be used, or another process writes it.
            OtherBroker: the management API is that of another broker.
        """
        self._management.check_if_it_answers()
        if self._archive is not None:
            self._archive.start()
            self._archive.restore(self.state, self._keep)
            restore(self.state, time.time())
        self.broker_poller.start()
        self.worker_poller.start()

    def stop(self) -> None:
        """End the polls and close the journal; safe to call twice and before `start`."""
        self.broker_poller.stop()
        self.worker_poller.stop()
        if self._archive is not None:
            self._archive.stop()

    def poll_soon(self) -> None:
        """Have the broker polled now."""
        self.broker_poller.poll_soon()

    def update(
        self, heard: Sequence[tuple[float, object]], now: float | None = None
    ) -> tuple[bool, list[tuple[str, Attempt]]]:
        """Take events, with the times at which they were received, and the answers to polls; `now` is the time.

        Returns whether anything changed, and the attempts that started with the ids of their tasks.
        """
        state, now = self.state, time.time() if now is None else now
        state.now = now
        workers = state.workers.update(_all(self.worker_poller.workers), now)
        samples = _all(self.broker_poller.samples)
        state.add_samples(samples)
        broker = self.broker_poller.state
        gaps = self._gaps(broker, now)
        changed = bool(heard or workers or samples or state.broker is not broker)
        state.broker = broker
        named_runs: dict[str, str] = {}
        started = self._take_events(heard, named_runs)
        self.heard += len(heard)
        advance(state, now)
        if state.workers.unknown:
            self.worker_poller.ask(set(sorted(state.workers.unknown)[:MOST_ASKED]))
            state.workers.unknown.clear()
        self._write(heard, named_runs, workers=workers, samples=samples, gaps=gaps, now=now)
        return changed, started

    def _gaps(self, broker: BrokerState, now: float) -> list[Gap]:
        """The gap of an outage of the broker that is over now, which is added to the state."""
        away_since = self.state.broker.away_since
        if away_since is not None:
            self.state.deaf_until = now
        if away_since is None or broker.away_since is not None:
            return []
        gap = Gap(began=min(away_since, now), ended=now, events=None, reason="The broker was away.")
        self.state.gaps.append(gap)
        return [gap]

    def _take_events(
        self, heard: Sequence[tuple[float, object]], named_runs: dict[str, str]
    ) -> list[tuple[str, Attempt]]:
        """Take events in their order; the marked run of each task is added to `named_runs`."""
        started: list[tuple[str, Attempt]] = []
        of_tasks: list[tuple[float, TaskEvent]] = []
        of_workers: list[tuple[float, WorkerEvent]] = []
        for received, event in heard:
            known = parsed(event, arguments=self._arguments)
            if isinstance(known, TaskEvent):
                of_tasks.append((received, self._with_queue(known)))
            elif known is not None:
                of_workers.append((received, known))
            elif isinstance(event, dict) and event.get("type") == EVENT:
                started += self._take_task_events(of_tasks, named_runs)
                of_tasks = []
                self._take_mark(event, received)
        started += self._take_task_events(of_tasks, named_runs)
        # Last, because a heartbeat counts starts whose events are ahead of it in the same batch.
        for received, of_worker in of_workers:
            for queue, count in self.state.letters.add(of_worker, received).items():
                self.state.recent.counted.queues[QueueKey(queue)].letters += count
            gap = self.state.workers.add_event(of_worker, received)
            if gap is not None:
                self.state.gaps.append(gap)
        return started

    def _with_queue(self, event: TaskEvent) -> TaskEvent:
        """The event; that of a receipt which does not tell the queue has the one that the app's routes name."""
        if event.kind != RECEIVED or event.queue is not None:
            return event
        queue = self.state.routed(event.name, event.host)
        return event if queue is None else event._replace(queue=queue)

    def _take_task_events(
        self, events: Sequence[tuple[float, TaskEvent]], named_runs: dict[str, str]
    ) -> list[tuple[str, Attempt]]:
        by_task = grouped(events)
        started = self.state.history.update(by_task)
        for _, attempt in started:
            if attempt.worker is not None and attempt.started is not None:
                self.state.workers.count_start(attempt.worker, attempt.started)
        if self._archive is not None:
            for task_id in by_task:
                task = self.state.history.get(task_id)
                if task is not None and task.run in self.state.runs and self.state.runs[task.run].marked:
                    named_runs[task_id] = task.run
        return started

    def _take_mark(self, event: Mapping[str, object], heard: float) -> None:
        mark = parsed_mark(event)
        if mark is None:
            return
        run = self.state.runs.mark(mark, heard)
        if self._archive is not None:
            try:
                self._archive.mark(run)
            except sqlite3.Error as error:
                self._give_up(error)

    def _write(
        self,
        heard: Sequence[tuple[float, object]],
        named_runs: Mapping[str, str],
        *,
        workers: Sequence[Worker],
        samples: Sequence[Sample],
        gaps: Sequence[Gap],
        now: float,
    ) -> None:
        if self._archive is None or not (heard or workers or samples or gaps or now - self._written_at >= NOTE_S):
            return
        self._written_at = now
        try:
            self._archive.write(heard, named_runs, workers=workers, samples=samples, gaps=gaps)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the journal, because the page matters more."""
        logger.error(
            "The dashboard stops writing its journal, because SQLite says: %s", error, extra={"action": "journal_lost"}
        )
        self.state.problem = (
            f"The journal is not written any more ({error}), so what is shown now is lost when the dashboard ends."
        )
        if self._archive is not None:
            self._archive.give_up()
            self._archive = None


def _queues_of(app: Celery) -> frozenset[str]:
    """The queues that the configuration of the app names."""
    try:
        return frozenset(queue_types(app))
    except ProjError:
        return frozenset()


def _all(queue: SimpleQueue[T]) -> list[T]:
    # Safe without a lock, because no other thread takes from the queue.
    return [queue.get() for _ in range(queue.qsize())]
