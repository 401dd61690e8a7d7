"""Early losses: attempts that a worker had acknowledged and begun when it was killed; no worker gets them again.

What a worker had not acknowledged goes back to its queue, and also ends when the worker was last heard.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from proj.journal.attempt import LOST, RETURNED
from proj.journal.ledger import is_early
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.dashboard.live.workers import Workers
    from proj.journal.attempt import Attempt

#: Workers that are named.
MOST_NAMED = 5


def ended_with_worker(attempt: Attempt, workers: Workers, now: float) -> float | None:
    """When the worker that had acknowledged and begun the attempt was gone; None unless the attempt is lost so."""
    # First what is cheap and seldom true: a page has thousands of attempts.
    if not attempt.running or attempt.started is None or attempt.worker is None:
        return None
    worker = workers.get(attempt.worker)
    if worker is None or not is_early(attempt, {worker.name: worker.early or ()}):
        return None
    return left_by_worker(attempt, workers, now)


def left_by_worker(attempt: Attempt, workers: Workers, now: float) -> float | None:
    """When the worker that has an open attempt was last heard, if it is gone; None while it may end the attempt."""
    if attempt.finished is not None or attempt.worker is None or not (attempt.running or attempt.held):
        return None
    begun = attempt.started or attempt.received
    if begun is None:
        return None
    gone = workers.gone_since(attempt.worker, begun, now, runs=attempt.running)
    return None if gone is None else max(gone, begun)


def with_losses(attempts: Iterable[Attempt], workers: Workers, now: float) -> list[Attempt]:
    """The attempts; those that a worker had when it was gone are `lost` if it had begun them, else `returned`."""
    return [
        attempt
        if (ended := left_by_worker(attempt, workers, now)) is None
        else replace(attempt, state=LOST if attempt.running else RETURNED, finished=ended)
        for attempt in attempts
    ]


def loss_notes(attempts: Iterable[Attempt], workers: Workers, now: float) -> list[str]:
    """A sentence for each worker that was killed with such attempts, or seems to be, with their tasks."""
    lost: defaultdict[str, list[str]] = defaultdict(list)
    for attempt in attempts:
        if ended_with_worker(attempt, workers, now) is not None:
            lost[attempt.worker or ""].append(attempt.name or attempt.task_id)
    return [_note(worker, names, workers, now) for worker, names in sorted(lost.items())[:MOST_NAMED]]


def _note(worker: str, names: list[str], workers: Workers, now: float) -> str:
    tasks = counted(len(names), "task")
    told = f"{worker} was started again. {tasks} that its former process had begun"
    condition = ""
    if not workers.is_alive(worker, now):
        told, condition = f"No heartbeat comes from {worker}. {tasks} that it had begun", "if it is gone, "
    be = "is lost" if len(names) == 1 else "are lost"
    return (
        f"{told} {be} {condition}because of early acknowledgement (task_acks_late is False): "
        f"{', '.join(sorted(set(names))[:MOST_NAMED])}."
    )
