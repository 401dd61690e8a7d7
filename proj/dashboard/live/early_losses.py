"""Early losses: attempts that a worker had acknowledged and begun when it was killed; no worker gets them again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from proj.journal.attempt import LOST
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
    gone = workers.gone_since(attempt.worker, attempt.started, now)
    return None if gone is None else max(gone, attempt.started)


def with_losses(attempts: Iterable[Attempt], workers: Workers, now: float) -> list[Attempt]:
    """The attempts, those that are lost in the state `lost`."""
    return [
        attempt
        if (ended := ended_with_worker(attempt, workers, now)) is None
        else replace(attempt, state=LOST, finished=ended)
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
