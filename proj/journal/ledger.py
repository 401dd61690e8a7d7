"""Ledger: what became of every task, by its attempts in the journal and by what workers and broker hold now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from proj.journal.generated_ids import is_generated, is_generated_on_redelivery
from proj.queues import COPYING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from proj.journal.attempt import Attempt

FINISHED = "finished"
FAILED = "failed"
REVOKED = "revoked"
EXPIRED = "expired"
DEAD_LETTERED = "dead-lettered"
RUNNING = "running"
#: A worker has received it and not started it.
HELD = "held"
WAITING = "waiting in the broker"
MISSING = "missing"
#: A worker that is gone had begun it, after it had acknowledged its message.
LOST = "lost"
#: Its message had no id, and was delivered again under another generated id.
RENAMED = "renamed"
#: It has not ended, and neither workers nor the broker were asked.
OPEN = "open"
FATES = (FINISHED, FAILED, REVOKED, EXPIRED, DEAD_LETTERED, RUNNING, HELD, RENAMED, WAITING, LOST, MISSING, OPEN)

#: The fate of a task by the state of its latest attempt, if no other attempt succeeded.
_FATE_OF_STATE = {
    "succeeded": FINISHED,
    "failed": FAILED,
    "revoked": REVOKED,
    "expired": EXPIRED,
}


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What workers and broker hold at one time, as they report it."""

    #: Ids of tasks that workers have started.
    running: frozenset[str] = frozenset()
    #: Ids of tasks that workers have received and not started.
    held: frozenset[str] = frozenset()
    #: Ids of the messages in the dead-letter queue.
    dead: frozenset[str] = frozenset()
    #: Messages that wait in the queues of the tasks, including the queues for delayed tasks.
    ready: int = 0
    #: Messages of these queues that are not acknowledged; None if the broker did not report it.
    unacknowledged: int | None = 0
    #: Those of them that workers in adaptive dispatch have and do not name yet.
    in_advance: int = 0
    #: Names of workers that are connected and did not say what they hold.
    silent: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The fate of every task."""

    #: By task id. A task in `unaccounted` is `waiting in the broker`, `missing` or `open`.
    fates: Mapping[str, str]
    #: The ids of tasks that succeeded more than once, and how often.
    duplicates: Mapping[str, int]
    #: How many tasks are missing. They are among the `unaccounted`, and all of these if the broker holds no message.
    missing: int
    #: Ids of tasks that have not ended by their events, and that neither a worker nor a dead letter names.
    unaccounted: tuple[str, ...] = ()
    #: The number of tasks of each fate.
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> tuple[str, ...]:
        """The ids of the tasks that are lost."""
        return tuple(task_id for task_id, fate in self.fates.items() if fate == LOST)


def ledger(
    attempts: Iterable[Attempt],
    holdings: Holdings | None = None,
    *,
    early: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Ledger:
    """What became of every task of the attempts.

    A task that has not ended is missing only if the broker does not hold its message. The broker counts messages and
    does not name them. If it holds fewer messages than tasks are unaccounted for, the difference is missing. It is the
    least number: some of these messages may belong to tasks that the journal does not know.

    The broker does not hold the message of a task that is acknowledged before it runs. Such a task is lost when a
    worker has begun it that is gone, or says that it does not have it.

    Args:
        attempts: of any number of tasks, in any order.
        holdings: what is held now. Without it, a task that has not ended is `open`, and none is missing.
        early: the names of the tasks that each worker acknowledges before they run, by the worker's name.
    """
    by_task: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_task.setdefault(attempt.task_id, []).append(attempt)
    fates = {task_id: _fate(own, holdings) for task_id, own in by_task.items()}
    fates.update(dict.fromkeys(_renamed(by_task, fates), RENAMED))
    if holdings is not None:
        fates.update(dict.fromkeys(tuple(_lost(by_task, fates, holdings.silent, early)), LOST))
    unaccounted = tuple(task_id for task_id, fate in fates.items() if fate is None)
    waiting = len(unaccounted) if holdings is None else min(len(unaccounted), _in_the_broker(holdings))
    missing = len(unaccounted) - waiting
    unresolved = OPEN if holdings is None else MISSING if waiting == 0 else WAITING
    resolved = {task_id: fate or unresolved for task_id, fate in fates.items()}
    counts = Counter(resolved.values())
    if missing and waiting:
        counts[WAITING], counts[MISSING] = waiting, missing
    return Ledger(
        fates=resolved,
        duplicates={task_id: times for task_id, own in by_task.items() if (times := _times_done(own)) > 1},
        missing=missing,
        unaccounted=unaccounted,
        counts={fate: counts[fate] for fate in FATES if counts[fate]},
    )


def _fate(attempts: list[Attempt], holdings: Holdings | None) -> str | None:
    """The fate of one task; None if its attempts have not ended, and neither a worker nor a dead letter names it."""
    task_id = attempts[0].task_id
    # A broadcast is copied to several workers, and each of them has to do it.
    ends = {attempt.worker: attempt.state for attempt in attempts}
    if attempts[0].queue in COPYING and "failed" in ends.values():
        return FAILED
    if any(attempt.succeeded for attempt in attempts):
        return FINISHED
    if holdings is not None:
        if task_id in holdings.running:
            return RUNNING
        if task_id in holdings.held:
            return HELD
        if task_id in holdings.dead:
            return DEAD_LETTERED
    return _FATE_OF_STATE.get(_latest(attempts).state)


def _latest(attempts: list[Attempt]) -> Attempt:
    return max(attempts, key=lambda attempt: attempt.number)


def _lost(
    by_task: Mapping[str, list[Attempt]],
    fates: Mapping[str, str | None],
    silent: Collection[str],
    early: Mapping[str, Collection[str]],
) -> Iterator[str]:
    """The ids of the tasks without a known end that were acknowledged, and that no worker can have any more."""
    for task_id, own in by_task.items():
        latest = _latest(own)
        if fates[task_id] is None and latest.worker not in silent and is_early(latest, early):
            yield task_id


def is_early(attempt: Attempt, early: Mapping[str, Collection[str]]) -> bool:
    """Whether a worker runs the attempt, as far as is known, and has acknowledged it already."""
    return attempt.running and attempt.name in early.get(attempt.worker or "", ())


def _renamed(by_task: Mapping[str, list[Attempt]], fates: Mapping[str, str | None]) -> Iterator[str]:
    """The ids of tasks without a known end whose message had no id and was delivered again under another id.

    Each redelivery stands for one earlier delivery of a message with the same task and arguments.
    """
    alike: dict[tuple[str | None, str], list[tuple[float, str]]] = {}
    for task_id, own in by_task.items():
        if is_generated(task_id):
            alike.setdefault((own[0].name, own[0].arguments), []).append((own[0].received or 0.0, task_id))
    for deliveries in alike.values():
        later = 0
        for _received, task_id in sorted(deliveries, reverse=True):
            if later and fates[task_id] is None:
                later -= 1
                yield task_id
            later += is_generated_on_redelivery(task_id)


def _times_done(attempts: list[Attempt]) -> int:
    """How often the task succeeded; for a broadcast, at the worker where it succeeded most often."""
    if attempts[0].queue not in COPYING:
        return sum(attempt.succeeded for attempt in attempts)
    return max(Counter(attempt.worker for attempt in attempts if attempt.succeeded).values(), default=0)


def _in_the_broker(holdings: Holdings) -> int:
    """Messages that the broker or a dispatcher holds and that belong to no task that a worker has named."""
    named = len(holdings.running) + len(holdings.held)
    return holdings.ready + max(holdings.in_advance, (holdings.unacknowledged or 0) - named)
