"""State: all that the dashboard knows at one moment, from events or from a journal."""

from __future__ import annotations

import operator
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from proj.dashboard.live.broker_poll import STALE_S, BrokerState
from proj.dashboard.live.groups import queue_of
from proj.dashboard.live.history import PATIENCE_S, History
from proj.dashboard.live.letters.letter_counts import LetterCounts
from proj.dashboard.live.now.recent import Recent
from proj.dashboard.live.now.rolling import Rolling
from proj.dashboard.live.runs import Runs
from proj.dashboard.live.workers import Workers
from proj.journal.recording.depths import Depths
from proj.journal.records import Gap
from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.dashboard.live.runs import LiveRun
    from proj.delivery.dead_letters.app_queues import Routes
    from proj.journal.attempt import Attempt
    from proj.journal.records import Run, Sample

#: Gaps that are kept, and queues with depths.
MOST_GAPS = 200
MOST_QUEUES = 50


class State:
    """Attempts, runs, workers and queues. Only one thread may change it."""

    def __init__(self, keep: int, *, workers: Workers | None = None) -> None:
        """Keep at most `keep` attempts."""
        self.workers = workers or Workers()
        self.runs = Runs()
        #: The time up to which events were received.
        self.now = 0.0
        self.history = History(
            keep,
            self.runs,
            queue_of=lambda attempt: queue_of(attempt, self.workers.get(attempt.worker)),
            is_gone=self._is_gone,
            observer=self._observe,
        )
        #: What happens now: the attempts that workers have, the tallies of the last hour, up to which time these are,
        #: and the missing starts that are in them, by worker.
        self.recent = Recent()
        self.rolling = Rolling()
        self.tallied: float | None = None
        self.missing: dict[str, int] = {}
        #: The queues that the configuration of the app names, and its queue of dead letters.
        self.app_queues: frozenset[str] = frozenset()
        self.dead_letters = DEAD_LETTERS
        #: Where the app sends tasks, and the queues of which that told that tasks came from there.
        self.routes: Routes | None = None
        self.routed_queues: set[str] = set()
        #: The dead letters that workers made, by queue.
        self.letters = LetterCounts()
        self.broker = BrokerState()
        #: Until when the broker was away; the silence of a worker begins then.
        self.deaf_until: float | None = None
        self.gaps: deque[Gap] = deque(maxlen=MOST_GAPS)
        self._depths: dict[str, Depths] = {}
        #: Names of the runs in the journal, which can be read when someone asks for them.
        self.stored_runs: frozenset[str] = frozenset()
        #: What went wrong, in one sentence for the page; None when nothing did.
        self.problem: str | None = None
        #: Whether events still come, so that open attempts go on.
        self.live = True

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add depths of queues."""
        for sample in samples:
            kept = self._depths.get(sample.queue)
            if kept is None:
                if len(self._depths) >= MOST_QUEUES:
                    continue
                kept = self._depths[sample.queue] = Depths()
            kept.add(sample)

    def routed(self, task: str | None, worker: str | None) -> str | None:
        """The queue of a task at a worker by the routes of the app; None when they do not tell."""
        if self.routes is None:
            return None
        known = self.workers.get(worker)
        queue = self.routes.queue_of(task, () if known is None else known.queues)
        if queue is not None:
            self.routed_queues.add(queue)
        return queue

    def _with_queue(self, attempt: Attempt) -> Attempt:
        if attempt.queue is not None or attempt.worker is None:
            return attempt
        queue = self.routed(attempt.name, attempt.worker)
        return attempt if queue is None else replace(attempt, queue=queue)

    def gaps_until(self, now: float) -> list[Gap]:
        """The gaps, and that of the broker's outage if it lasts."""
        away_since = self.broker.away_since
        if away_since is None or away_since >= now:
            return list(self.gaps)
        return [*self.gaps, Gap(began=away_since, ended=now, events=None, reason="The broker is away.")]

    def samples(self, queue: str | None) -> Sequence[Sample]:
        """The depths of a queue, by time; the older the fewer."""
        depths = self._depths.get(queue or "")
        return () if depths is None else depths.samples

    def fresh_broker(self, now: float) -> BrokerState:
        """The broker's last answers, without counts that are too old."""
        return (
            self.broker
            if now - self.broker.time <= STALE_S
            else replace(self.broker, time=0.0, depths=None, windows=None, dropped={})
        )

    def load(self, attempts: Iterable[Attempt], runs: Iterable[Run], *, now: float) -> None:
        """Add attempts from a journal: to its runs, or where an attempt has none, to runs between silences."""
        tasks: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            tasks.setdefault(attempt.task_id, []).append(self._with_queue(attempt))
        known_runs = {run.name: run for run in runs}
        spans = ((_first(own), _last(own), task_id) for task_id, own in tasks.items())
        # Until this time some task without a run is open.
        until = 0.0
        for first, last, task_id in sorted(spans, key=lambda span: span[0]):
            own = tasks[task_id]
            name = next((attempt.run for attempt in own if attempt.run is not None), None)
            heard = min(last, now)
            if name is not None:
                known = known_runs.get(name)
                began = known.began if known is not None else first
                run = self.runs.restore(name, began=min(began, first), heard=heard)
            else:
                run = self.runs.assign(None, first, min(first, now), idle=partial(operator.lt, until))
                run.heard = max(run.heard, heard)
            self.history.restore(task_id, own, heard, run.name)
            self.recent.restore(own, now)
            run.attempts += len(own)
            if name is None and (task := self.history.get(task_id)) is not None and task.open:
                until = max(until, last + PATIENCE_S)

    def _is_gone(self, attempt: Attempt) -> bool:
        worker = attempt.worker
        return worker is not None and self.workers.is_gone(worker, self.now, runs=attempt.running)

    def _observe(self, before: Sequence[Attempt], after: Sequence[Attempt], heard: float) -> None:
        self.recent.update(before, after, heard)

    def newest_run(self) -> LiveRun | None:
        """The run that began last, of those with attempts."""
        return max((run for run in self.runs if run.attempts), key=lambda run: run.began, default=None)


def _times(attempts: Sequence[Attempt]) -> Iterable[float]:
    for attempt in attempts:
        for time in (attempt.sent, attempt.received, attempt.started, attempt.finished):
            if time is not None:
                yield time


def _first(attempts: Sequence[Attempt]) -> float:
    return min(_times(attempts), default=0.0)


def _last(attempts: Sequence[Attempt]) -> float:
    return max(_times(attempts), default=0.0)
