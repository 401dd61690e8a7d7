"""Facts: what is so at one moment, from the state, as far as the rows of queues and workers share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.dashboard.live.groups import queue_of
from proj.dashboard.live.now.presence import GONE, had, places, worker_state
from proj.queues import is_broadcast_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.queue_depths import Depth
    from proj.dashboard.live.now.presence import Having
    from proj.dashboard.live.now.slots import Place
    from proj.dashboard.live.now.tally import QueueKey, Tally
    from proj.dashboard.live.state import State
    from proj.journal.records import Worker


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is so at one moment."""

    state: State
    now: float
    #: Everything that happened in the window, and its length in seconds; None for all that is known.
    tally: Tally
    window_s: int | None
    #: The workers that are there; and all that ever were, by name, with alive, silent, gone or unknown.
    places: Mapping[str, Place]
    workers: Mapping[str, Worker]
    states: Mapping[str, str]
    #: What each worker has, or had when it was gone.
    had: Mapping[str, Having]
    #: When the oldest task of each queue that is due and not started was published, by the queue's name.
    oldest: Mapping[str | None, float]
    #: By the broker, without the queues that Celery and our workers make for themselves, and without dead letters.
    depths: Mapping[str, Depth]

    @property
    def known_s(self) -> float:
        """Seconds of the window that are known."""
        return max(0.0, self.tally.ended - self.tally.began)

    @property
    def since(self) -> float:
        """The begin of the window."""
        return self.tally.began if self.window_s is None else self.now - self.window_s

    def queue_of(self, key: QueueKey) -> str | None:
        """The queue of a key: of a task without a queue, the only one of its worker."""
        if key.queue is not None:
            return key.queue
        worker = self.state.workers.get(key.worker)
        return worker.queues[0] if worker is not None and len(worker.queues) == 1 else None


def facts(state: State, window_s: int | None, now: float) -> Facts:
    """The facts of the last `window_s` seconds, or of all that is known."""
    workers = {worker.name: worker for worker in state.workers.at(now)}
    had_now = had(state, now)
    depths = state.fresh_broker(now).depths or {}
    return Facts(
        state=state,
        now=now,
        tally=state.rolling.window(window_s, now),
        window_s=window_s,
        places=places(state, now),
        workers=workers,
        states={name: worker_state(state, name, now) for name in {*workers, *had_now}},
        had=had_now,
        oldest=oldest_of(state, now),
        depths={
            name: depth
            for name, depth in depths.items()
            if not depth.is_plumbing and not is_broadcast_queue(name) and name != state.dead_letters
        },
    )


def is_there(facts: Facts, worker: str) -> bool:
    """Whether a worker is not gone."""
    return facts.states.get(worker, GONE) != GONE


def oldest_of(state: State, now: float) -> dict[str | None, float]:
    """When the oldest task of each queue that is due and not started was published, by the queue's name."""
    found: dict[str | None, float] = {}
    for _, task in state.history:
        if not task.open:
            continue
        last = task.attempts[-1]
        if last.started is not None or (last.eta or 0.0) > now or not state.history.is_open(task, now):
            continue
        since = max(last.sent or last.received or now, last.eta or 0.0)
        queue = queue_of(last, state.workers.get(last.worker))
        found[queue] = min(since, found.get(queue, since))
    return found
