"""Letter counts: how many dead letters came from each queue, by what workers count in their heartbeats.

Each heartbeat has all letters of its process so far, so that a heartbeat that is lost loses no letter. The letters that
the broker makes itself are in no heartbeat: those above a delivery limit, those that expire, and those of full queues.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.journal.event import WorkerEvent

#: Workers that are followed, and queues that are counted. Anyone who can publish could name any number.
MOST_WORKERS, MOST_QUEUES = 1000, 200
#: Seconds for which the broker's count may be older than the workers' counts.
SETTLED_S = 5.0


class _Told(NamedTuple):
    pid: int
    letters: Mapping[str, int]


class Waiting(NamedTuple):
    """Letters of a queue that wait among the dead letters."""

    number: int
    #: Whether none of them may have been taken out since; otherwise it is the most that there can be.
    is_exact: bool


class LetterCounts:
    """Counts letters by their queue."""

    def __init__(self) -> None:
        """Begin with none."""
        self._told: OrderedDict[str, _Told] = OrderedDict()
        #: The processes that said that they begin, by worker.
        self._online: OrderedDict[str, int] = OrderedDict()
        #: Letters that were made since no letter waited, as far as is known, and when one was counted last.
        self._made: Counter[str] = Counter()
        self._changed = 0.0

    def add(self, event: WorkerEvent, heard: float) -> dict[str, int]:
        """Take an event of a worker, and return how many letters of each queue it made since the last one.

        What a process had made before it was first heard counts as waiting, and not as new.
        """
        if event.kind == "online":
            self._online[event.worker] = event.pid
            self._online.move_to_end(event.worker)
            if len(self._online) > MOST_WORKERS:
                self._online.popitem(last=False)
        if event.letters is None:
            return {}
        told = self._told.get(event.worker)
        is_known = told is not None and told.pid == event.pid
        before = told.letters if told is not None and is_known else {}
        more = {name: count - before.get(name, 0) for name, count in event.letters.items()}
        more = {name: count for name, count in more.items() if count > 0}
        self._told[event.worker] = _Told(event.pid, event.letters)
        self._told.move_to_end(event.worker)
        if len(self._told) > MOST_WORKERS:
            self._told.popitem(last=False)
        for name, count in more.items():
            if name in self._made or len(self._made) < MOST_QUEUES:
                self._made[name] += count
        if more:
            self._changed = heard
        has_begun = told is not None or self._online.get(event.worker) == event.pid
        return more if has_begun else {}

    def tells(self, worker: str) -> bool:
        """Whether a worker counts its letters."""
        return worker in self._told

    def note_waiting(self, ready: int, time: float) -> None:
        """Forget all, if the broker says at a time that no letter waits."""
        if not ready and time - self._changed >= SETTLED_S:
            self._made.clear()

    def waiting(self, queue: str, ready: int) -> Waiting:
        """The letters of a queue that wait, of `ready` letters in all."""
        return Waiting(min(self._made[queue], ready), is_exact=sum(self._made.values()) <= ready)

    def unassigned(self, ready: int) -> int:
        """How many of `ready` letters came from a queue that is not known, at least."""
        return max(0, ready - sum(self._made.values()))
