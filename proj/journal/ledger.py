"""The ledger: what became of every task that was sent, by the journal and by what is held now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.journal.generated_ids import is_generated, is_generated_on_redelivery
from proj.queues import COPYING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proj.journal.attempt import Attempt

FINISHED = "finished"
FAILED = "failed"
REVOKED = "revoked"
EXPIRED = "expired"
DEAD_LETTERED = "dead-lettered"
RUNNING = "running"
#: In a worker's hands, and not started.
HELD = "held"
WAITING = "waiting in the broker"
MISSING = "missing"
#: Its message had no id, and came again under another.
RENAMED = "renamed"
#: Nobody was asked who might hold it.
OPEN = "open"
FATES = (FINISHED, FAILED, REVOKED, EXPIRED, DEAD_LETTERED, RUNNING, HELD, RENAMED, WAITING, MISSING, OPEN)

#: How an attempt ended, and what that means for its task unless another attempt did better.
_FATE_OF_STATE = {
    "succeeded": FINISHED,
    "failed": FAILED,
    "revoked": REVOKED,
    "expired": EXPIRED,
}


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What workers and broker hold at one time, by their own account."""

    #: Ids of tasks that workers work on, and of those that they have and did not start.
    running: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    #: Ids of the messages in the dead-letter queue.
    dead: frozenset[str] = frozenset()
    #: Messages that wait in the queues concerned, delays included.
    ready: int = 0
    #: Messages of these queues that a consumer has not acknowledged; None when the broker did not tell.
    unacknowledged: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The fate of every task, and what is suspicious about them."""

    #: By task id; a task that is in `suspects` stands as waiting or missing.
    fates: Mapping[str, str]
    #: Ids of tasks whose work was done more than once, and how often.
    duplicates: Mapping[str, int]
    #: How many tasks are nowhere. Those are some of the `suspects`; all of them, when the broker holds nothing.
    missing: int
    #: Ids of tasks of which neither their events nor a worker know an end.
    suspects: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def ledger(attempts: Iterable[Attempt], holdings: Holdings | None = None) -> Ledger:
    """What became of every task of the attempts.

    A task that nobody knows to have ended is missing only when the broker does not hold it either. The broker
    counts messages and does not name them: when it holds fewer than there are suspects, the difference is missing.
    Messages that the journal never heard of may stand in for some, so it is the least number.

    Args:
        attempts: of any number of tasks, in any order.
        holdings: what is held now; without it an unfinished task is `open`, and nothing is called missing.
    """
    by_task: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_task.setdefault(attempt.task_id, []).append(attempt)
    fates = {task_id: _fate(own, holdings) for task_id, own in by_task.items()}
    fates.update(dict.fromkeys(_renamed(by_task, fates), RENAMED))
    suspects = tuple(task_id for task_id, fate in fates.items() if fate is None)
    waiting = len(suspects) if holdings is None else min(len(suspects), _in_the_broker(holdings))
    missing = len(suspects) - waiting
    unresolved = OPEN if holdings is None else MISSING if waiting == 0 else WAITING
    resolved = {task_id: fate or unresolved for task_id, fate in fates.items()}
    counts = Counter(resolved.values())
    if missing and waiting:
        counts[WAITING], counts[MISSING] = waiting, missing
    return Ledger(
        fates=resolved,
        duplicates={task_id: times for task_id, own in by_task.items() if (times := _times_done(own)) > 1},
        missing=missing,
        suspects=suspects,
        counts={fate: counts[fate] for fate in FATES if counts[fate]},
    )


def _fate(attempts: list[Attempt], holdings: Holdings | None) -> str | None:
    """The fate of one task, None when neither its attempts nor who might hold it tell."""
    task_id = attempts[0].task_id
    # Of what was copied to several workers, each is to do its own.
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
    latest = max(attempts, key=lambda attempt: attempt.number)
    return _FATE_OF_STATE.get(latest.state)


def _renamed(by_task: Mapping[str, list[Attempt]], fates: Mapping[str, str | None]) -> Iterator[str]:
    """The tasks without a known end whose message had no id, and was delivered again under another one.

    Each such delivery stands for one earlier delivery of a message with the same text, and for none after it.
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
    """How often its work was done; of what was copied to several workers, by the one that did it most often."""
    if attempts[0].queue not in COPYING:
        return sum(attempt.succeeded for attempt in attempts)
    return max(Counter(attempt.worker for attempt in attempts if attempt.succeeded).values(), default=0)


def _in_the_broker(holdings: Holdings) -> int:
    """Messages that the broker holds and that no worker has named as its own."""
    named = len(holdings.running) + len(holdings.held)
    return holdings.ready + max(0, (holdings.unacknowledged or 0) - named)
