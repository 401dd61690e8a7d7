"""Worker rows: the row of each worker, with all its queues, from the facts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from proj.dashboard.live.now.presence import ALIVE, DRAINING, GONE, Having, heartbeat_age_s
from proj.dashboard.live.now.status import WorkerNow
from proj.dashboard.live.now.tally import WorkerTally
from proj.journal.records import Worker
from proj.journal.worker_info import ADAPTIVE

if TYPE_CHECKING:
    from proj.dashboard.live.now.facts import Facts

#: Seconds for which a worker that is gone is shown, unless the window is longer.
GONE_SHOWN_S = 900.0


def worker_rows(facts: Facts) -> list[WorkerNow]:
    """The rows in any order, without the verdicts. A worker that was gone before the window is left out."""
    avoidable: defaultdict[str, float] = defaultdict(float)
    for queue in facts.tally.queues.values():
        for name, seconds in queue.held_by.items():
            avoidable[name] += seconds
    rows = []
    for name, state in facts.states.items():
        age_s = heartbeat_age_s(facts.state, name, facts.now)
        shown_s = max(GONE_SHOWN_S, facts.now - facts.since)
        if state != GONE or (age_s is not None and age_s <= shown_s):
            rows.append(_row(facts, name, state, age_s, avoidable[name]))
    return rows


def _row(facts: Facts, name: str, state: str, age_s: float | None, avoidable_s: float) -> WorkerNow:
    worker = facts.workers.get(name) or Worker(name=name)
    having = facts.had.get(name) or Having()
    tally = facts.tally.workers.get(name) or WorkerTally()
    seconds = facts.known_s or 1.0
    told = facts.state.workers.adaptive(name) if worker.dispatch in {None, ADAPTIVE} else None
    has = told if state == ALIVE else None
    gone, goodbye = state == GONE, facts.state.workers.said_goodbye(name)
    is_heard = facts.state.workers.heartbeat_age_s(name, facts.now) is not None
    return WorkerNow(
        name=name,
        state=state,
        queues=worker.queues,
        dispatch=worker.dispatch,
        slots=worker.slots,
        busy_slots=0 if gone else len(having.running),
        held=0 if gone or state == DRAINING else len(having.held),
        busy_share=round(min(1.0, tally.busy_s / tally.slot_s), 3) if tally.slot_s else None,
        started_per_s=round(tally.started / seconds, 3),
        done_per_s=round(tally.done / seconds, 3),
        started=tally.started,
        done=tally.done,
        failed=tally.failed,
        lost=tally.lost,
        avoidable_s=round(avoidable_s, 3),
        memory_bytes=facts.state.workers.memory_bytes(name),
        heartbeat_age_s=None if age_s is None else round(age_s, 1),
        solo=worker.solo,
        goodbye=goodbye or not is_heard,
        missing_events=max(0, tally.missing),
        window=None if has is None else has.window,
        in_advance=None if has is None else has.held,
        given_back=None if told is None else told.given_back,
        # In a shutdown it gives back what it holds. What is in a journal only may have ended since.
        left=len(having.running) + (0 if goodbye else len(having.held)) if gone and is_heard else 0,
    )
