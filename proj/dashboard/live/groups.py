"""Groups: splits the attempts of a run by queue and dispatch mode, each with its workers and its figures.

Workers of several modes may consume one queue, and one worker several queues. Queues that share a worker are measured
together, because a free slot of one group could have taken a message that a worker of another group holds. The result
is split into groups afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from proj.dashboard.live.status import GroupStatus, WorkerStatus
from proj.journal.event import RECEIVED, SENT
from proj.journal.worker_info import ADAPTIVE
from proj.metrics import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.event import AdaptiveCounts
    from proj.journal.records import Gap, Worker

#: Groups of a run and workers of a group that are shown. Anyone who can publish could name any number.
MOST_GROUPS = 24
#: Groups that are measured.
MOST_KEPT = 200
#: The states of an attempt that waits to be started.
WAITING = frozenset({SENT, RECEIVED})
MOST_WORKERS = 100
#: The order in which modes are shown side by side: RabbitMQ's default first.
MODES = ("round-robin", "fair", ADAPTIVE, "other")
#: Queue and dispatch mode.
Key: TypeAlias = tuple[str | None, str | None]
#: The mode of a message that no worker has received, where workers of several modes consume its queue.
SEVERAL = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The attempts of one queue at workers of one dispatch mode."""

    queue: str | None
    dispatch: str | None
    #: The indices of its attempts among all that were grouped, and the attempts.
    places: Sequence[int]
    attempts: Sequence[Attempt]
    #: Names of the workers that consume the queue in this mode or had one of the attempts.
    workers: frozenset[str]

    @property
    def name(self) -> str:
        """Such as "task_queue · fair"."""
        return f"{self.queue or 'queue not known'} · {self.dispatch or 'mode not known'}"


def groups(attempts: Sequence[Attempt], workers: Mapping[str, Worker]) -> list[Group]:
    """The groups of some attempts and workers, sorted by mode and queue; at most `MOST_KEPT`, see `worst`.

    A message that no worker has received belongs to the only mode of its queue. Where the queue has several modes, the
    message belongs to no group.
    """
    keys = _keys(attempts, workers)
    places: dict[Key, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    names: dict[Key, set[str]] = {key: set() for key in places}
    queues = {queue for queue, _ in keys}
    for worker in workers.values():
        for queue in queues.intersection(worker.queues):
            names.setdefault((queue, worker.dispatch), set()).add(worker.name)
    found = []
    for key, of_group in names.items():
        own = [attempts[place] for place in places.get(key, ())]
        if key[1] == SEVERAL:
            continue
        of_group.update(attempt.worker for attempt in own if attempt.worker is not None)
        found.append(
            Group(queue=key[0], dispatch=key[1], places=places.get(key, ()), attempts=own, workers=frozenset(of_group))
        )
    return worst(found, {}, most=MOST_KEPT)


def worst(found: Sequence[Group], ready: Mapping[str, int], *, most: int = MOST_GROUPS) -> list[Group]:
    """At most so many of the groups, sorted by mode and queue.

    Those come first whose messages wait: the most in the broker, by `ready` (messages by queue), or by events in the
    broker and in workers. Then the largest.
    """

    def order(group: Group) -> tuple[int, int]:
        waiting = sum(attempt.state in WAITING for attempt in group.attempts)
        return -max(waiting, ready.get(group.queue or "", 0)), -len(group.attempts)

    chosen = sorted(found, key=order)[:most] if len(found) > most else found
    return sorted(chosen, key=lambda group: (_place(group.dispatch), group.queue or ""))


def records(
    found: Sequence[Group],
    attempts: Sequence[Attempt],
    workers: Mapping[str, Worker],
    *,
    until: float | None = None,
    gaps: Collection[Gap] = (),
) -> list[Record]:
    """The metrics record of each group; `until` is the present time while the run goes on.

    During `gaps` no wait is avoidable.
    """
    queues = [queue_of(attempt, workers.get(attempt.worker or "")) for attempt in attempts]
    served_by: dict[str, set[str | None]] = {name: set(worker.queues) for name, worker in workers.items()}
    for attempt, queue in zip(attempts, queues, strict=True):
        if attempt.worker is not None:
            served_by.setdefault(attempt.worker, set()).add(queue)
    representatives = _representatives(queues, served_by.values())
    members: dict[str | None, list[int]] = defaultdict(list)
    for place, queue in enumerate(queues):
        members[representatives[queue]].append(place)
    wholes: dict[str | None, tuple[Record, dict[int, int]]] = {}
    for top, own in members.items():
        had = {attempts[place].worker for place in own}
        served = {queue for queue, representative in representatives.items() if representative == top}
        taking_part = [one for one in workers.values() if one.name in had or served.intersection(one.queues)]
        record = Record.of([attempts[place] for place in own], taking_part, until=until, gaps=gaps)
        wholes[top] = record, {place: number for number, place in enumerate(own)}
    parts = []
    for group in found:
        whole, numbers = wholes[representatives[group.queue]]
        everything = len(group.places) == len(numbers) and group.workers >= whole.participants.by_name.keys()
        parts.append(whole if everything else whole.part([numbers[place] for place in group.places], group.workers))
    return parts


def queue_of(attempt: Attempt, worker: Worker | None) -> str | None:
    """The queue of an attempt: from its events, else the only queue of its worker."""
    if attempt.queue is None and worker is not None and len(worker.queues) == 1:
        return worker.queues[0]
    return attempt.queue


def _place(dispatch: str | None) -> int:
    """The mode's place in `MODES`; an unknown one is last."""
    return MODES.index(dispatch) if dispatch in MODES else len(MODES)


@dataclass
class _WorkerCounts:
    """What one worker of a group has and did."""

    held: int = 0
    running: int = 0
    tasks: int = 0
    busy_s: float = 0.0


def group_status(
    group: Group,
    workers: Mapping[str, Worker],
    alive: Callable[[str], bool | None],
    adaptive: Callable[[str], AdaptiveCounts | None],
    *,
    now: float,
    is_open: bool = True,
) -> GroupStatus:
    """The status of a group, whose run goes on when `is_open`.

    `alive` returns whether a worker's heartbeats still come, and `adaptive` what the last one told.
    """
    by_worker: dict[str, _WorkerCounts] = {name: _WorkerCounts() for name in group.workers}
    for attempt in group.attempts:
        if attempt.worker is None:
            continue
        counts = by_worker[attempt.worker]
        counts.held += attempt.held
        counts.running += attempt.running
        if attempt.started is not None:
            counts.tasks += 1
            ended = now if attempt.finished is None and attempt.running else attempt.finished
            counts.busy_s += max(0.0, (ended or 0.0) - attempt.started)
    statuses = tuple(
        _worker_status(name, workers.get(name), counts, adaptive(name), alive=alive(name), is_open=is_open)
        for name, counts in sorted(by_worker.items())
    )
    return GroupStatus(
        name=group.name,
        queue=group.queue,
        dispatch=group.dispatch,
        workers=statuses[:MOST_WORKERS],
        # Of a worker that ends its last tasks, the slots that these have.
        slots=sum(worker.busy_slots if worker.alive is False else worker.slots or 0 for worker in statuses),
        busy_slots=sum(worker.busy_slots for worker in statuses),
        held=sum(worker.held for worker in statuses),
        tasks=sum(worker.tasks for worker in statuses),
        busy_s=round(sum(worker.busy_s for worker in statuses), 6),
        in_advance=sum(worker.in_advance or 0 for worker in statuses),
    )


def _worker_status(
    name: str,
    worker: Worker | None,
    counts: _WorkerCounts,
    told: AdaptiveCounts | None,
    *,
    alive: bool | None,
    is_open: bool,
) -> WorkerStatus:
    if worker is not None and worker.dispatch not in {None, ADAPTIVE}:
        # The name has come back in another mode.
        told = None
    # What it has now belongs to no run that is over.
    has = told if is_open and alive is not False else None
    return WorkerStatus(
        name=name,
        slots=None if worker is None else worker.slots,
        busy_slots=counts.running,
        held=counts.held,
        tasks=counts.tasks,
        busy_s=round(counts.busy_s, 6),
        alive=alive,
        window=None if has is None else has.window,
        in_advance=None if has is None else has.held,
        given_back=None if told is None else told.given_back,
    )


def _keys(attempts: Sequence[Attempt], workers: Mapping[str, Worker]) -> list[Key]:
    """Queue and mode of each attempt; the mode is `SEVERAL` where it may become one of several."""
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


def _representatives(
    queues: Iterable[str | None], served: Iterable[Iterable[str | None]]
) -> dict[str | None, str | None]:
    """For each queue, one that represents all queues that it shares a worker with, directly or over others."""
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
