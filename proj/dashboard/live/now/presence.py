"""Presence: which workers are there, and which attempts they have now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.dashboard.live.now.slots import SKEW_S, Place

if TYPE_CHECKING:
    from proj.dashboard.live.state import State
    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker

ALIVE, SILENT, DRAINING, GONE, NEVER_HEARD = "alive", "silent", "draining", "gone", "unknown"
#: Seconds of silence after which a worker is taken to be gone.
GONE_S = 60.0
#: The same for one with the pool solo, which sends no heartbeat while it runs a task.
SOLO_S = 3600.0
#: Seconds of silence after which a worker of a journal is silent; the journal does not tell the interval.
RECORDED_S = 20.0


@dataclass(slots=True)
class Having:
    """What one worker has."""

    #: Attempts that it runs, and those that it has received, not started, and that are due.
    running: list[Attempt] = field(default_factory=list)
    held: list[Attempt] = field(default_factory=list)


def places(state: State, now: float) -> dict[str, Place]:
    """The workers that are there now, by name."""
    found = {}
    for worker in state.workers.at(now):
        if worker_state(state, worker.name, now) not in {ALIVE, NEVER_HEARD}:
            continue
        found[worker.name] = place_of(worker)
    return found


def place_of(worker: Worker) -> Place:
    """The place of a worker."""
    skew_s = worker.skew_s or 0.0
    return Place(
        name=worker.name,
        slots=worker.slots,
        queues=frozenset(worker.queues),
        ahead_s=skew_s if abs(skew_s) > SKEW_S else 0.0,
    )


def worker_state(state: State, worker: str, now: float) -> str:
    """Whether a worker is alive, silent, draining, gone or unknown."""
    workers = state.workers
    age_s = heartbeat_age_s(state, worker, now)
    alive = workers.is_alive(worker, now)
    if alive is None:
        # It is only in a journal, or sends no heartbeats.
        if age_s is None:
            return NEVER_HEARD if workers.has_answered(worker) else GONE
        alive = age_s <= RECORDED_S
    if alive:
        return ALIVE
    if age_s is None:
        return GONE
    if workers.said_goodbye(worker):
        return DRAINING if workers.is_draining(worker, now) and _runs_one(state, worker) else GONE
    # While the broker was away no heartbeat could come.
    silent_s = age_s if state.deaf_until is None else min(age_s, now - state.deaf_until)
    known = workers.get(worker)
    patience_s = SOLO_S if known is not None and known.solo else GONE_S
    return GONE if silent_s > patience_s else SILENT


def _runs_one(state: State, worker: str) -> bool:
    return any(one.running and one.worker == worker and one.finished is None for one in state.recent.attempts.values())


def heartbeat_age_s(state: State, worker: str, now: float) -> float | None:
    """Seconds since its last heartbeat, also of one that is in a journal; None without any."""
    age_s = state.workers.heartbeat_age_s(worker, now)
    recorded = state.workers.recorded_heartbeat(worker)
    return age_s if age_s is not None or recorded is None else max(0.0, now - recorded)


def had(state: State, now: float) -> dict[str, Having]:
    """What each worker has now, by events; of one that is not there any more, what it had."""
    found: defaultdict[str, Having] = defaultdict(Having)
    for attempt in state.recent.attempts.values():
        if attempt.finished is not None or attempt.worker is None:
            continue
        begun = attempt.started or attempt.received or 0.0
        if state.workers.is_of_former_process(attempt.worker, begun):
            continue
        if attempt.running:
            found[attempt.worker].running.append(attempt)
        elif attempt.held and (attempt.eta or 0.0) <= now:
            found[attempt.worker].held.append(attempt)
    for name, having in found.items():
        worker = state.workers.get(name)
        if worker is not None and worker.slots and len(having.running) > worker.slots:
            # The events of the ends of the oldest are missing.
            having.running.sort(key=lambda one: one.started or 0.0)
            del having.running[: -worker.slots]
    return found
