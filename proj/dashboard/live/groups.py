"""Groups: the attempts of a run by queue and dispatch mode, each with its workers and its part of the record.

Workers of several modes may serve one queue, and a worker several queues. Whatever hangs together so is measured
together, for a slot that is free in one group could have taken what a worker of another one holds; then it is split.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from proj.dashboard.live.status import GroupStanding, WorkerStanding
from proj.metrics import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker

#: Groups of a run, and workers of a group, that are told of one by one; whoever can publish could name any number.
MOST_GROUPS = 24
MOST_WORKERS = 100
#: Side by side: what everyone begins with, and then what is better.
MODES = ("round-robin", "fair", "adaptive", "other")
#: Queue and dispatch mode.
Key: TypeAlias = tuple[str | None, str | None]
#: The mode of what no worker has yet, when workers of several modes may take it.
SEVERAL = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """What workers of one dispatch mode did from one queue."""

    queue: str | None
    dispatch: str | None
    #: Where its attempts stand among all that were grouped, and they themselves.
    places: Sequence[int]
    attempts: Sequence[Attempt]
    #: Names of the workers that serve the queue in this mode, or had one of the attempts.
    workers: frozenset[str]

    @property
    def name(self) -> str:
        """Such as "task_queue · fair"."""
        return f"{self.queue or 'queue not known'} · {self.dispatch or 'mode not known'}"


def groups(attempts: Sequence[Attempt], workers: Mapping[str, Worker]) -> list[Group]:
    """The groups of some attempts and of the workers that were there, by queue and mode; the largest, if they are many.

    What no worker has yet is of the only mode of its queue; where there are several, it is of none of them, and is not
    in the answer.
    """
    keys = _keys(attempts, workers)
    places: dict[Key, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    crews: dict[Key, set[str]] = {key: set() for key in places}
    queues = {queue for queue, _ in keys}
    for worker in workers.values():
        for queue in queues.intersection(worker.queues):
            crews.setdefault((queue, worker.dispatch), set()).add(worker.name)
    found = []
    for key, crew in crews.items():
        own = [attempts[place] for place in places.get(key, ())]
        if key[1] == SEVERAL:
            continue
        crew.update(attempt.worker for attempt in own if attempt.worker is not None)
        found.append(
            Group(queue=key[0], dispatch=key[1], places=places.get(key, ()), attempts=own, workers=frozenset(crew))
        )
    found.sort(key=lambda group: -len(group.attempts))
    return sorted(found[:MOST_GROUPS], key=lambda group: (_place(group.dispatch), group.queue or ""))


def records(
    found: Sequence[Group], attempts: Sequence[Attempt], workers: Mapping[str, Worker], *, until: float | None = None
) -> list[Record]:
    """The record of each group of the attempts; `until` is now, when the run goes on."""
    queues = [queue_of(attempt, workers.get(attempt.worker or "")) for attempt in attempts]
    served_by: dict[str, set[str | None]] = {name: set(worker.queues) for name, worker in workers.items()}
    for attempt, queue in zip(attempts, queues, strict=True):
        if attempt.worker is not None:
            served_by.setdefault(attempt.worker, set()).add(queue)
    together = _together(queues, served_by.values())
    members: dict[str | None, list[int]] = defaultdict(list)
    for place, queue in enumerate(queues):
        members[together[queue]].append(place)
    wholes: dict[str | None, tuple[Record, dict[int, int]]] = {}
    for top, own in members.items():
        had = {attempts[place].worker for place in own}
        served = {queue for queue, its in together.items() if its == top}
        crew = [one for one in workers.values() if one.name in had or served.intersection(one.queues)]
        record = Record.of([attempts[place] for place in own], crew, until=until)
        wholes[top] = record, {place: number for number, place in enumerate(own)}
    parts = []
    for group in found:
        whole, numbers = wholes[together[group.queue]]
        everything = len(group.places) == len(numbers) and group.workers >= whole.participants.by_name.keys()
        parts.append(whole if everything else whole.part([numbers[place] for place in group.places], group.workers))
    return parts


def queue_of(attempt: Attempt, worker: Worker | None) -> str | None:
    """The queue that an attempt came from: as told, or the only one of its worker."""
    if attempt.queue is None and worker is not None and len(worker.queues) == 1:
        return worker.queues[0]
    return attempt.queue


def _place(dispatch: str | None) -> int:
    """The modes in the order in which they are compared everywhere, what is not known last."""
    return MODES.index(dispatch) if dispatch in MODES else len(MODES)


@dataclass
class _Tally:
    """What one worker of a group did."""

    held: int = 0
    running: int = 0
    tasks: int = 0
    busy_s: float = 0.0


def standing(
    group: Group, workers: Mapping[str, Worker], alive: Callable[[str], bool | None], *, now: float
) -> GroupStanding:
    """How a group stands now."""
    tallies: dict[str, _Tally] = {name: _Tally() for name in group.workers}
    for attempt in group.attempts:
        if attempt.worker is None:
            continue
        tally = tallies[attempt.worker]
        tally.held += attempt.held
        tally.running += attempt.running
        if attempt.started is not None:
            tally.tasks += 1
            ended = now if attempt.finished is None and attempt.running else attempt.finished
            tally.busy_s += max(0.0, (ended or 0.0) - attempt.started)
    told = tuple(
        WorkerStanding(
            name=name,
            slots=workers[name].slots if name in workers else None,
            busy_slots=tally.running,
            held=tally.held,
            tasks=tally.tasks,
            busy_s=round(tally.busy_s, 6),
            alive=alive(name),
        )
        for name, tally in sorted(tallies.items())
    )
    return GroupStanding(
        name=group.name,
        queue=group.queue,
        dispatch=group.dispatch,
        workers=told[:MOST_WORKERS],
        slots=sum(worker.slots or 0 for worker in told if worker.alive is not False),
        busy_slots=sum(worker.busy_slots for worker in told),
        held=sum(worker.held for worker in told),
        tasks=sum(worker.tasks for worker in told),
        busy_s=round(sum(worker.busy_s for worker in told), 6),
    )


def _keys(attempts: Sequence[Attempt], workers: Mapping[str, Worker]) -> list[Key]:
    """Queue and mode of each attempt; the mode is SEVERAL where nobody can tell which of several it will be."""
    modes: dict[str | None, set[str | None]] = defaultdict(set)
    for worker in workers.values():
        for served in worker.queues:
            modes[served].add(worker.dispatch)
    keys: list[Key] = []
    for attempt in attempts:
        had = workers.get(attempt.worker or "")
        key = (queue_of(attempt, had), had.dispatch if had is not None else None)
        keys.append(key)
        if attempt.worker is not None:
            modes[key[0]].add(key[1])
    for place, attempt in enumerate(attempts):
        if attempt.worker is None:
            queue = keys[place][0]
            of_queue = modes[queue] or {None}
            keys[place] = queue, next(iter(of_queue)) if len(of_queue) == 1 else SEVERAL
    return keys


def _together(queues: Iterable[str | None], served: Iterable[Iterable[str | None]]) -> dict[str | None, str | None]:
    """For each queue, one that stands for all that hang together with it since a worker serves both."""
    above: dict[str | None, str | None] = {queue: queue for queue in queues}

    def top(queue: str | None) -> str | None:
        while above[queue] != queue:
            above[queue] = queue = above[above[queue]]
        return queue

    for of_worker in served:
        own = [queue for queue in of_worker if queue in above]
        for one in own[1:]:
            above[top(one)] = top(own[0])
    return {queue: top(queue) for queue in above}
