"""The history: the latest attempts in memory, as events tell of them, never more than it was given room for."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from proj.journal.attempt import OPEN
from proj.journal.attempts import updated_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from proj.dashboard.live.runs import Runs, Stretch
    from proj.journal.attempt import Attempt
    from proj.journal.event import TaskEvent

#: Attempts of one task that are kept, and events of it that are believed at once: telling them again takes time that
#: grows with the square of their number, and whoever can publish could send any number with one id.
MOST_ATTEMPTS = 20
MOST_EVENTS = 100
#: Seconds after which a task of which nothing is heard any more does not hold its run open.
PATIENCE_S = 3600.0


class Task:
    """What is known of one task."""

    __slots__ = ("attempts", "heard", "run")

    def __init__(self, attempts: Sequence[Attempt], heard: float, run: str) -> None:
        """It belongs to a run for good."""
        self.attempts = attempts
        #: When it was heard of last.
        self.heard = heard
        self.run = run

    @property
    def open(self) -> bool:
        """Whether it is still to end."""
        return self.attempts[-1].state in OPEN


class History:
    """The latest attempts: of those that ended the oldest go first, and others only when there is nothing else."""

    def __init__(
        self, keep: int, runs: Runs, *, queue_of: Callable[[Attempt], str | None], dead: Callable[[str], bool]
    ) -> None:
        """Keep so many attempts, in `runs`.

        `queue_of` answers where an attempt came from, and `dead` whether a worker is known to be away.
        """
        self._keep = keep
        self._runs = runs
        self._queue_of = queue_of
        self._dead = dead
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        #: Ids of those that ended, in the order in which they did.
        self._ended: OrderedDict[str, None] = OrderedDict()
        #: Attempts that are kept, and events that were given up since there were too many of one task.
        self.kept = 0
        self.dropped = 0

    def __iter__(self) -> Iterator[tuple[str, Task]]:
        """The tasks by id, in the order in which they were first heard of."""
        return iter(self._tasks.items())

    def get(self, task_id: str) -> Task | None:
        """What is known of a task; None when nothing is."""
        return self._tasks.get(task_id)

    def attempts(self, run: str) -> list[Attempt]:
        """The attempts of a run, tasks in the order in which they were first heard of."""
        return [attempt for task in self._tasks.values() if task.run == run for attempt in task.attempts]

    def is_open(self, task: Task, now: float) -> bool:
        """Whether a task is still to end, as far as can be told."""
        if not task.open or now - task.heard > PATIENCE_S:
            return False
        worker = task.attempts[-1].worker
        return worker is None or not self._dead(worker)

    def fold(self, told: Mapping[str, tuple[float, list[TaskEvent]]]) -> list[tuple[str, Attempt]]:
        """Learn from events by task, with when the first of each was heard; gives the attempts that began to run."""
        begun: list[tuple[str, Attempt]] = []
        for task_id, (heard, events) in told.items():
            if len(events) > MOST_EVENTS:
                self.dropped += len(events) - MOST_EVENTS
                del events[MOST_EVENTS:]
            task = self._tasks.get(task_id)
            before = task.attempts if task is not None else ()
            attempts = updated_attempts(before, events)
            if len(attempts) > MOST_ATTEMPTS:
                self.dropped += len(attempts) - MOST_ATTEMPTS
                attempts = attempts[-MOST_ATTEMPTS:]
            if task is None:
                began = min(event.time for event in events)
                stretch: Stretch | None = self._runs.of(self._queue_of(attempts[0]), began, heard, idle=self._idle)
                task = self._tasks[task_id] = Task(attempts, heard, stretch.name if stretch else "")
                more = len(attempts)
            else:
                more = len(attempts) - len(before)
                task.attempts, task.heard = attempts, heard
                stretch = self._runs.get(task.run)
            if stretch is not None:
                stretch.heard = max(stretch.heard, heard)
                stretch.attempts += max(0, more)
            self.kept += more
            begun += [
                (task_id, attempt) for attempt in attempts if attempt.started is not None and _new(attempt, before)
            ]
            self._file(task_id, task)
            if self.kept > self._keep:
                self._evict()
        return begun

    def take(self, task_id: str, attempts: Sequence[Attempt], heard: float, run: str) -> None:
        """Take a task from a journal, in place of what is known of it."""
        known = self._tasks.pop(task_id, None)
        self.kept += len(attempts) - (len(known.attempts) if known is not None else 0)
        task = self._tasks[task_id] = Task(attempts, heard, run)
        self._file(task_id, task)
        self._evict()

    def clear(self) -> None:
        """Forget all."""
        self._tasks.clear()
        self._ended.clear()
        self.kept = 0

    def _file(self, task_id: str, task: Task) -> None:
        if task.open:
            self._ended.pop(task_id, None)
        elif task_id not in self._ended:
            self._ended[task_id] = None

    def _evict(self) -> None:
        while self.kept > self._keep and self._tasks:
            if self._ended:
                task_id, _ = self._ended.popitem(last=False)
                task = self._tasks.pop(task_id)
            else:
                _, task = self._tasks.popitem(last=False)
            self.kept -= len(task.attempts)

    def _idle(self, now: float) -> bool:
        """Whether no task is open that belongs to no marked run."""
        return not any(
            self.is_open(task, now) for task in self._tasks.values() if task.open and not self._marked(task.run)
        )

    def _marked(self, run: str) -> bool:
        stretch = self._runs.get(run)
        return stretch is not None and stretch.marked


def grouped(events: Iterable[tuple[float, TaskEvent]]) -> dict[str, tuple[float, list[TaskEvent]]]:
    """Events by task, each with when the first was heard."""
    told: dict[str, tuple[float, list[TaskEvent]]] = {}
    for heard, event in events:
        known = told.get(event.task_id)
        if known is None:
            told[event.task_id] = (heard, [event])
        else:
            known[1].append(event)
    return told


def _new(attempt: Attempt, before: Sequence[Attempt]) -> bool:
    """Whether its start was not known before."""
    return all(one.started != attempt.started or one.worker != attempt.worker for one in before)
