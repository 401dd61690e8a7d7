"""History: the latest attempts in memory, updated from events and bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from proj.journal.attempt import OPEN
from proj.journal.attempts import updated_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from proj.dashboard.live.runs import LiveRun, Runs
    from proj.journal.attempt import Attempt
    from proj.journal.event import TaskEvent

#: Attempts of one task that are kept, and events of one task that are used at once. The time to update a task grows
#: with the square of their number, and anyone who can publish could send any number with one id.
MOST_ATTEMPTS = 20
MOST_EVENTS = 100
#: Seconds without an event after which an open task no longer keeps its run open.
PATIENCE_S = 3600.0


class Task:
    """What is known of one task."""

    __slots__ = ("attempts", "heard", "run")

    def __init__(self, attempts: Sequence[Attempt], heard: float, run: str) -> None:
        """Belong to `run` from now on."""
        self.attempts = attempts
        #: When its last events were received.
        self.heard = heard
        self.run = run

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.attempts[-1].state in OPEN


class History:
    """The latest attempts. Tasks that ended are evicted first, the earliest end first; then the oldest open ones."""

    def __init__(
        self,
        keep: int,
        runs: Runs,
        *,
        queue_of: Callable[[Attempt], str | None],
        is_gone: Callable[[Attempt], bool],
        observer: Callable[[Sequence[Attempt], Sequence[Attempt], float], None] | None = None,
    ) -> None:
        """Keep at most `keep` attempts, and assign their tasks to `runs`.

        `queue_of` returns the queue of an attempt, and `is_gone` whether its worker is known to have stopped.
        `observer` is given the attempts of each task before and after its events, and when the first of them was
        received.
        """
        self._keep = keep
        self._runs = runs
        self._queue_of = queue_of
        self._is_gone = is_gone
        self._observer = observer
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        #: Ids of the tasks that ended, in the order of their ends.
        self._ended: OrderedDict[str, None] = OrderedDict()
        #: Attempts in memory, and events that were dropped because one task had too many.
        self.kept = 0
        self.dropped = 0

    def __iter__(self) -> Iterator[tuple[str, Task]]:
        """The tasks by id, in the order of their first events."""
        return iter(self._tasks.items())

    def get(self, task_id: str) -> Task | None:
        """The task of this id; None when it is not in memory."""
        return self._tasks.get(task_id)

    def attempts(self, run: str) -> list[Attempt]:
        """The attempts of a run, tasks in the order of their first events."""
        return [attempt for task in self._tasks.values() if task.run == run for attempt in task.attempts]

    def is_open(self, task: Task, now: float) -> bool:
        """Whether a task is still expected to end."""
        if not task.open or now - task.heard > PATIENCE_S:
            return False
        return not self._is_gone(task.attempts[-1])

    def update(self, by_task: Mapping[str, tuple[float, list[TaskEvent]]]) -> list[tuple[str, Attempt]]:
        """Update the tasks from the result of `grouped`, and return the attempts that started, with their task ids."""
        started: list[tuple[str, Attempt]] = []
        for task_id, (heard, events) in by_task.items():
            if len(events) > MOST_EVENTS:
                self.dropped += len(events) - MOST_EVENTS
                del events[MOST_EVENTS:]
            task = self._tasks.get(task_id)
            before = task.attempts if task is not None else ()
            attempts = updated_attempts(before, events)
            if len(attempts) > MOST_ATTEMPTS:
                self.dropped += len(attempts) - MOST_ATTEMPTS
                attempts = attempts[-MOST_ATTEMPTS:]
            if self._observer is not None:
                self._observer(before, attempts, heard)
            if task is None:
                began = min(event.time for event in events)
                run: LiveRun | None = self._runs.assign(self._queue_of(attempts[0]), began, heard, idle=self._idle)
                task = self._tasks[task_id] = Task(attempts, heard, run.name if run else "")
                more = len(attempts)
            else:
                more = len(attempts) - len(before)
                task.attempts, task.heard = attempts, heard
                run = self._runs.get(task.run)
            if run is not None:
                run.heard = max(run.heard, heard)
                run.attempts += max(0, more)
            self.kept += more
            started += [
                (task_id, attempt) for attempt in attempts if attempt.started is not None and _is_new(attempt, before)
            ]
            self._note_end(task_id, task)
            if self.kept > self._keep:
                self._evict()
        return started

    def restore(self, task_id: str, attempts: Sequence[Attempt], heard: float, run: str) -> None:
        """Add a task from a journal; it replaces the one of this id."""
        known = self._tasks.pop(task_id, None)
        self.kept += len(attempts) - (len(known.attempts) if known is not None else 0)
        task = self._tasks[task_id] = Task(attempts, heard, run)
        self._note_end(task_id, task)
        self._evict()

    def _note_end(self, task_id: str, task: Task) -> None:
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
        """Whether all tasks of unmarked runs have ended."""
        return not any(
            self.is_open(task, now) for task in self._tasks.values() if task.open and not self._is_marked(task.run)
        )

    def _is_marked(self, name: str) -> bool:
        run = self._runs.get(name)
        return run is not None and run.marked


def grouped(events: Iterable[tuple[float, TaskEvent]]) -> dict[str, tuple[float, list[TaskEvent]]]:
    """The events of each task, with the time at which the first of them was received."""
    by_task: dict[str, tuple[float, list[TaskEvent]]] = {}
    for heard, event in events:
        known = by_task.get(event.task_id)
        if known is None:
            by_task[event.task_id] = (heard, [event])
        else:
            known[1].append(event)
    return by_task


def _is_new(attempt: Attempt, before: Sequence[Attempt]) -> bool:
    """Whether its start was not known before."""
    return all(one.started != attempt.started or one.worker != attempt.worker for one in before)
