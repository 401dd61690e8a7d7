"""Now: the status of now, from the state, and its JSON."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.now.facts import facts
from proj.dashboard.live.now.presence import ALIVE, GONE, NEVER_HEARD
from proj.dashboard.live.now.queue_rows import queue_rows
from proj.dashboard.live.now.sentences import sentences
from proj.dashboard.live.now.status import (
    FORMAT,
    LEVELS,
    OK,
    VERSION,
    WINDOWS,
    BrokerNow,
    DeadLetters,
    NowStatus,
    QueueNow,
    Totals,
    WorkerNow,
)
from proj.dashboard.live.now.worker_rows import worker_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.dashboard.live.now.facts import Facts
    from proj.dashboard.live.state import State
    from proj.dashboard.live.status import EventCounts

#: Rows that are shown. Anyone who can publish could name any number.
MOST_QUEUES = 100
MOST_WORKERS = 200
MOST_SENTENCES = 30


def now_status(state: State, counts: EventCounts, window_s: int | None, now: float) -> NowStatus:
    """What is so now, and what happened in the last `window_s` seconds, or in all that is known."""
    found = facts(state, window_s, now)
    queues, workers = queue_rows(found), worker_rows(found)
    there = [worker for worker in workers if worker.state in {ALIVE, NEVER_HEARD}]
    with_depth = [queue for queue in queues if queue.ready is not None]
    unacknowledged = [queue.unacknowledged for queue in with_depth if queue.unacknowledged is not None]
    status = NowStatus(
        as_of=round(now, 3),
        live=state.live,
        window_s=window_s,
        known_s=round(found.known_s, 1),
        sentences=(),
        totals=Totals(
            arrivals_per_s=round(sum(queue.arrivals_per_s for queue in queues), 3),
            done_per_s=round(sum(queue.done_per_s for queue in queues), 3),
            failed_per_s=round(sum(queue.failed_per_s for queue in queues), 3),
            ready=sum(queue.ready or 0 for queue in with_depth) if with_depth else None,
            unacknowledged=sum(unacknowledged) if unacknowledged else None,
            avoidable_s_per_min=round(sum(queue.avoidable_s_per_min for queue in queues), 3),
            slots=sum(worker.slots or 0 for worker in there),
            busy_slots=sum(worker.busy_slots for worker in there),
            workers_alive=len(there),
            workers=sum(worker.state != GONE for worker in workers),
        ),
        broker=BrokerNow(
            answers=state.broker.answers,
            away_since=state.broker.away_since,
            away_until=state.deaf_until,
            doubt=state.broker.doubt,
        ),
        dead_letters=_dead_letters(found),
        queues=tuple(queues),
        queues_left_out=max(0, len(queues) - MOST_QUEUES),
        workers=tuple(workers),
        workers_left_out=max(0, len(workers) - MOST_WORKERS),
        events=counts,
    )
    return judged(status)


def judged(status: NowStatus) -> NowStatus:
    """The status with its sentences, and with the rows in order, the worst first."""
    said = sentences(status)
    queues = [
        replace(queue, level=level, problems=problems)
        for queue in status.queues
        for level, problems in [_verdict([one for one in said if queue.name in one.queues])]
    ]
    workers = [
        replace(worker, level=level, problems=problems)
        for worker in status.workers
        for level, problems in [_verdict([one for one in said if worker.name in one.workers])]
    ]
    return replace(
        status,
        sentences=said[:MOST_SENTENCES],
        sentences_left_out=max(0, len(said) - MOST_SENTENCES),
        queues=tuple(sorted(queues, key=_queue_order)[:MOST_QUEUES]),
        workers=tuple(sorted(workers, key=_worker_order)[:MOST_WORKERS]),
    )


def now_document(
    state: State, counts: EventCounts, window_s: int | None, *, origin: dict[str, Any], now: float
) -> bytes:
    """The JSON of `now_status`, with format, version, windows, `origin` and the seconds that it took."""
    began = time.perf_counter()
    status = now_status(state, counts, window_s, now)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **origin,
        "windows": WINDOWS,
        **asdict(status),
        "took_s": round(time.perf_counter() - began, 4),
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _verdict(said: Sequence[Any]) -> tuple[str, tuple[str, ...]]:
    levels = [one.level for one in said]
    return min(levels, key=LEVELS.index, default=OK), tuple(one.kind for one in said)


def _queue_order(queue: QueueNow) -> tuple[object, ...]:
    return (
        LEVELS.index(queue.level),
        -queue.avoidable_s_per_min,
        -(queue.ready or 0),
        -queue.started,
        queue.name is None,
        queue.name or "",
    )


def _worker_order(worker: WorkerNow) -> tuple[object, ...]:
    return LEVELS.index(worker.level), worker.state == GONE, -worker.avoidable_s, worker.name


def _dead_letters(found: Facts) -> DeadLetters | None:
    name = found.state.dead_letters
    if not name:
        return None
    depth = (found.state.fresh_broker(found.now).depths or {}).get(name)
    samples = tuple(found.state.samples(name))
    before = [sample for sample in samples if sample.time <= found.since] or samples[:1]
    waiting = samples[-1].ready if samples else None
    if depth is not None:
        waiting = depth.ready
    if waiting is None:
        return None
    return DeadLetters(
        queue=name,
        waiting=waiting,
        new=max(0, waiting - before[-1].ready) if before else 0,
        unassigned=found.state.letters.unassigned(waiting),
    )
