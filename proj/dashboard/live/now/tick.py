"""Tick: tallies what happened since the last one, about once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.dashboard.live.early_losses import ended_with_worker
from proj.dashboard.live.now.presence import DRAINING, SILENT, places, worker_state
from proj.dashboard.live.now.recent import key_of
from proj.dashboard.live.now.slots import add_slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.dashboard.live.now.tally import Tally
    from proj.dashboard.live.state import State
    from proj.journal.attempt import Attempt

#: Seconds that events may need, and seconds of a tally at least.
LAG_S = 0.5
TICK_S = 1.0


def advance(state: State, now: float) -> None:
    """Tally what happened since the last call, if it was long enough ago."""
    ended = now - LAG_S
    if state.tallied is None or ended < state.tallied - TICK_S:
        state.tallied = ended
        return
    if ended - state.tallied < TICK_S:
        return
    began, state.tallied = state.tallied, ended
    letters = (state.fresh_broker(now).depths or {}).get(state.dead_letters)
    if letters is not None:
        state.letters.note_waiting(letters.ready + (letters.unacknowledged or 0), state.broker.time)
    tally = state.recent.take_counted(began, ended)
    there = places(state, ended)
    # While the broker is away nobody can get a task.
    attempts = list(state.recent.attempts.values())
    if state.broker.away_since is None:
        depths = state.fresh_broker(now).depths or {}
        closed = {name for name, depth in depths.items() if not depth.consumers}
        add_slots(tally, attempts, there, without=closed)
    _add_losses(state, tally, attempts, now)
    missing = state.workers.missing()
    for name, count in missing.items():
        more = count - state.missing.get(name, 0)
        if more:
            tally.workers[name].missing += more
    state.missing = missing
    state.recent.forget_ended(ended)
    state.rolling.add(tally)


def _add_losses(state: State, tally: Tally, attempts: Sequence[Attempt], now: float) -> None:
    """Count, and forget, attempts that were acknowledged early and whose worker is gone."""
    for one in attempts:
        if not one.running or ended_with_worker(one, state.workers, now) is None:
            continue
        if worker_state(state, one.worker or "", now) not in {SILENT, DRAINING}:
            tally.queues[key_of(one)].lost += 1
            tally.workers[one.worker or ""].lost += 1
            state.recent.attempts.pop((one.task_id, one.number), None)
