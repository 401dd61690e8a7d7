"""The scene: all that is known at one time, whether it was heard or read from a journal."""

from __future__ import annotations

import operator
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from proj.dashboard.live.broker_poll import STALE_S, View
from proj.dashboard.live.groups import queue_of
from proj.dashboard.live.history import PATIENCE_S, History
from proj.dashboard.live.runs import Runs
from proj.dashboard.live.workers import Crew

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.dashboard.live.runs import Stretch
    from proj.journal.attempt import Attempt
    from proj.journal.records import Gap, Run, Sample

#: Gaps, and depths of a queue and queues with depths, that are kept: two hours of a queue that changes all the time.
MOST_GAPS = 200
MOST_SAMPLES = 7200
MOST_QUEUES = 50


class Scene:
    """Attempts, runs, workers and queues, to be changed by one thread."""

    def __init__(self, keep: int, *, crew: Crew | None = None) -> None:
        """Keep so many attempts."""
        self.crew = crew or Crew()
        self.runs = Runs()
        #: The time up to which events were heard.
        self.now = 0.0
        self.history = History(
            keep,
            self.runs,
            queue_of=lambda attempt: queue_of(attempt, self.crew.record(attempt.worker)),
            dead=lambda worker: self.crew.alive(worker, self.now) is False,
        )
        self.view = View()
        self.gaps: deque[Gap] = deque(maxlen=MOST_GAPS)
        self._samples: dict[str, deque[Sample]] = {}
        #: Names of runs that are kept elsewhere and can be asked for.
        self.elsewhere: frozenset[str] = frozenset()
        #: What went wrong, in one sentence for people.
        self.trouble: str | None = None
        #: Whether time goes on: open attempts are being watched.
        self.live = True

    def sample(self, samples: Iterable[Sample]) -> None:
        """Take depths of queues."""
        for sample in samples:
            kept = self._samples.get(sample.queue)
            if kept is None:
                if len(self._samples) >= MOST_QUEUES:
                    continue
                kept = self._samples[sample.queue] = deque(maxlen=MOST_SAMPLES)
            kept.append(sample)

    def samples(self, queue: str | None) -> Sequence[Sample]:
        """The depths of a queue, by time."""
        return self._samples.get(queue or "", ())

    def open_view(self, now: float) -> View:
        """What the broker said, unless that is too long ago."""
        return self.view if now - self.view.time <= STALE_S else View(doubt=self.view.doubt)

    def load(self, attempts: Iterable[Attempt], runs: Iterable[Run], *, now: float) -> None:
        """Take attempts from a journal, by the runs that it knows or, where it knows none, by the silences."""
        tasks: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            tasks.setdefault(attempt.task_id, []).append(attempt)
        named = {run.name: run for run in runs}
        told = sorted(((_first(own), _last(own), task_id) for task_id, own in tasks.items()), key=lambda one: one[0])
        # The time until which some task that has no run is open.
        until = 0.0
        for first, last, task_id in told:
            own = tasks[task_id]
            run = next((attempt.run for attempt in own if attempt.run is not None), None)
            heard = min(last, now)
            if run is not None:
                known = named.get(run)
                began = known.began if known is not None else first
                stretch = self.runs.resume(run, began=min(began, first), heard=heard)
            else:
                stretch = self.runs.of(None, first, min(first, now), idle=partial(operator.lt, until))
                stretch.heard = max(stretch.heard, heard)
            self.history.take(task_id, own, heard, stretch.name)
            stretch.attempts += len(own)
            if run is None and (task := self.history.get(task_id)) is not None and task.open:
                until = max(until, last + PATIENCE_S)

    def newest(self) -> Stretch | None:
        """The run that began last, of those that have attempts."""
        return max((one for one in self.runs if one.attempts), key=lambda one: one.began, default=None)


def _times(attempts: Sequence[Attempt]) -> Iterable[float]:
    for attempt in attempts:
        for time in (attempt.sent, attempt.received, attempt.started, attempt.finished):
            if time is not None:
                yield time


def _first(attempts: Sequence[Attempt]) -> float:
    return min(_times(attempts), default=0.0)


def _last(attempts: Sequence[Attempt]) -> float:
    return max(_times(attempts), default=0.0)
