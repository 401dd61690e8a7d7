"""Tally: what happened to the tasks of a queue and of a worker in some time; tallies can be added up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil, log
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Seconds: shorter waits are alike. And the factor between two steps of waits, of which a percentile is exact to half.
SHORTEST_S = 0.001
STEP = 1.1
_LOG = log(STEP)
#: Queues of one tally. Anyone who can publish could name any number of them.
MOST_QUEUES = 1000


class QueueKey(NamedTuple):
    """The queue of a task; of one whose queue is not known, the worker, of which it may become known."""

    queue: str | None
    worker: str | None = None


#: The key of tasks whose queue and worker are not known.
NO_QUEUE = QueueKey(None)


@dataclass(slots=True)
class QueueTally:
    """What happened to the tasks of one queue."""

    arrivals: int = 0
    #: Those of the arrivals that no `task-sent` event told.
    unannounced: int = 0
    started: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0
    #: Dead letters that workers made of them.
    letters: int = 0
    #: The number of waits by their step: from the publish, and where that is not known from the receipt.
    waits: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    held_waits: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    #: Avoidable seconds by the worker that held, and seconds of a free slot meanwhile by worker.
    held_by: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    idle: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: QueueTally) -> None:
        """Add another tally to this one."""
        self.arrivals += other.arrivals
        self.unannounced += other.unannounced
        self.started += other.started
        self.done += other.done
        self.failed += other.failed
        self.retried += other.retried
        self.lost += other.lost
        self.letters += other.letters
        for step, count in other.waits.items():
            self.waits[step] += count
        for step, count in other.held_waits.items():
            self.held_waits[step] += count
        for worker, seconds in other.held_by.items():
            self.held_by[worker] += seconds
        for worker, seconds in other.idle.items():
            self.idle[worker] += seconds

    @property
    def avoidable_s(self) -> float:
        """Avoidable seconds of all workers."""
        return sum(self.held_by.values())


class QueueTallies(dict[QueueKey, QueueTally]):
    """A tally for each queue, made when it is asked for; those beyond `MOST_QUEUES` share that of no known queue."""

    def __missing__(self, key: QueueKey) -> QueueTally:
        """A new tally, or the shared one."""
        if len(self) >= MOST_QUEUES and key != NO_QUEUE:
            return self[NO_QUEUE]
        made = self[key] = QueueTally()
        return made


@dataclass(slots=True)
class WorkerTally:
    """What one worker did."""

    busy_s: float = 0.0
    #: Seconds of its slots in which it was there.
    slot_s: float = 0.0
    started: int = 0
    done: int = 0
    failed: int = 0
    #: Starts for which no event came; negative when events came late.
    missing: int = 0
    lost: int = 0

    def add(self, other: WorkerTally) -> None:
        """Add another tally to this one."""
        self.busy_s += other.busy_s
        self.slot_s += other.slot_s
        self.started += other.started
        self.done += other.done
        self.failed += other.failed
        self.missing += other.missing
        self.lost += other.lost


@dataclass(slots=True)
class Tally:
    """What happened between two times."""

    began: float
    ended: float
    queues: QueueTallies = field(default_factory=QueueTallies)
    workers: defaultdict[str, WorkerTally] = field(default_factory=lambda: defaultdict(WorkerTally))

    def add(self, other: Tally) -> None:
        """Add a later tally to this one."""
        self.ended = max(self.ended, other.ended)
        for key, queue in other.queues.items():
            self.queues[key].add(queue)
        for name, worker in other.workers.items():
            self.workers[name].add(worker)


def step_of(wait_s: float) -> int:
    """The step of a wait."""
    return 0 if wait_s <= SHORTEST_S else ceil(log(wait_s / SHORTEST_S) / _LOG)


def percentiles(waits: Mapping[int, int], percents: Iterable[int]) -> list[float | None]:
    """Percentiles in seconds by nearest rank, each the middle of its step; 0 for the shortest, None without any."""
    count = sum(waits.values())
    if not count:
        return [None for _ in percents]
    ordered = sorted(waits.items())
    found: list[float | None] = []
    for percent in percents:
        rank, seen = ceil(count * percent / 100), 0
        for step, number in ordered:
            seen += number
            if seen >= rank:
                found.append(SHORTEST_S * STEP ** (step - 0.5) if step else 0.0)
                break
    return found
