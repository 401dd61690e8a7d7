"""Queue rows: the row of each queue, from the facts."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.now.facts import is_there
from proj.dashboard.live.now.slots import HARMLESS_S, is_free
from proj.dashboard.live.now.status import POINTS, QueueNow, Series, Share
from proj.dashboard.live.now.tally import QueueKey, QueueTally, percentiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.dashboard.live.now.facts import Facts
    from proj.journal.attempt import Attempt
    from proj.journal.records import Sample

#: Workers that are named for one queue.
MOST_SHARES = 10
UNKNOWN_WHY = (
    "No producer sends task-sent events, the worker does not tell the queue and consumes several. "
    "Set task_send_sent_event = True in the configuration of what sends the tasks."
)


def queue_rows(facts: Facts) -> list[QueueNow]:
    """The rows in any order, without the verdicts."""
    tallies: defaultdict[str | None, QueueTally] = defaultdict(QueueTally)
    for key, tally in facts.tally.queues.items():
        tallies[facts.queue_of(key)].add(tally)
    consumers: defaultdict[str | None, list[str]] = defaultdict(list)
    for name, worker in facts.workers.items():
        if is_there(facts, name):
            for queue in worker.queues:
                consumers[queue].append(name)
    running: Counter[str | None] = Counter()
    held: defaultdict[str | None, list[Attempt]] = defaultdict(list)
    for name, having in facts.had.items():
        if is_there(facts, name):
            worker_queues = facts.workers[name].queues if name in facts.workers else ()
            only = worker_queues[0] if len(worker_queues) == 1 else None
            running.update(one.queue or only for one in having.running)
            for one in having.held:
                held[one.queue or only].append(one)
    active: dict[str | None, float] = {}
    for key, time in facts.state.recent.active.items():
        known = facts.queue_of(key)
        active[known] = max(time, active.get(known, time))
    series = _rates(facts)
    names = {*facts.depths, *tallies, *consumers, *running, *held, *facts.oldest}
    return [
        _row(
            facts,
            name,
            tallies[name],
            workers=consumers[name],
            running=running[name],
            held=held[name],
            active=active.get(name),
            rates=series.get(name, ((), ())),
        )
        for name in names
        if name is not None or tallies[name].started or running[name] or held[name]
    ]


def _row(
    facts: Facts,
    name: str | None,
    tally: QueueTally,
    *,
    workers: Sequence[str],
    running: int,
    held: Sequence[Attempt],
    active: float | None,
    rates: tuple[Sequence[float], Sequence[float]],
) -> QueueNow:
    depth = facts.depths.get(name or "")
    seconds = facts.known_s or 1.0
    ready, unacknowledged, growth = _depths(facts, name)
    now_ready = None if depth is None else depth.ready
    here = [facts.places[one] for one in workers if one in facts.places]
    slots = sum(place.slots or 0 for place in here)
    busy = {place.name: len(facts.had[place.name].running) if place.name in facts.had else 0 for place in here}
    free = {
        place.name
        for place in here
        if is_free(place, busy[place.name]) and not (place.name in facts.had and facts.had[place.name].held)
    }
    counted = tally.arrivals > tally.unannounced
    begun = tally.started / seconds
    arrivals = tally.arrivals / seconds if counted else max(0.0, begun + (growth or 0.0))
    # Of tasks that were published without an event, the wait in the broker is not known.
    waits = tally.waits or tally.held_waits
    p50, p95, p99 = percentiles(waits, (50, 95, 99))
    oldest = facts.oldest.get(name)
    share_s = [facts.tally.workers[one] for one in workers if one in facts.tally.workers]
    slot_s = sum(one.slot_s for one in share_s)
    avoidable_s = tally.avoidable_s
    return QueueNow(
        name=name,
        type=None if depth is None else depth.type,
        arrivals_per_s=_rounded(arrivals),
        arrivals_counted=counted,
        started_per_s=_rounded(begun),
        done_per_s=_rounded(tally.done / seconds),
        failed_per_s=_rounded(tally.failed / seconds),
        retried_per_s=_rounded(tally.retried / seconds),
        arrivals=tally.arrivals,
        started=tally.started,
        done=tally.done,
        failed=tally.failed,
        retried=tally.retried,
        ready=now_ready,
        unacknowledged=None if depth is None else depth.unacknowledged,
        consumers=None if depth is None else depth.consumers,
        paused=depth is not None and depth.paused,
        growth_per_s=None if growth is None else _rounded(growth),
        empty_in_s=_empty_in_s(depth.ready + (depth.unacknowledged or 0) if depth else None, growth),
        series=Series(ready=ready, unacknowledged=unacknowledged, arrivals=tuple(rates[0]), done=tuple(rates[1])),
        wait_p50_s=_rounded_or_none(p50),
        wait_p95_s=_rounded_or_none(p95),
        wait_p99_s=_rounded_or_none(p99),
        waits_from=("publish" if tally.waits else "receipt") if waits else None,
        avoidable_s_per_min=_rounded(avoidable_s * 60 / seconds),
        avoidable_s=_rounded(avoidable_s),
        held_by=_shares(tally.held_by),
        idle=_shares(tally.idle),
        held=len(held),
        held_avoidably=sum(
            bool(free - {one.worker}) and facts.now - max(one.received or facts.now, one.eta or 0.0) >= HARMLESS_S
            for one in held
        ),
        free=tuple(sorted(free)),
        slots=slots,
        busy_slots=sum(min(count, facts.places[one].slots or count) for one, count in busy.items()),
        running=running,
        utilisation=_rounded(min(1.0, sum(one.busy_s for one in share_s) / slot_s)) if slot_s else None,
        oldest_s=None if oldest is None else _rounded(max(0.0, facts.now - oldest)),
        quiet_s=None if active is None else _rounded(max(0.0, facts.now - active)),
        workers=tuple(sorted(workers)),
        lost=tally.lost,
        **_letters(facts, name, tally, workers),
        missing_events=max(0, sum(one.missing for one in share_s)),
        is_ours=bool(
            name in facts.state.app_queues
            or any(name in worker.queues for worker in facts.workers.values())
            or tally.arrivals
            or active is not None
        ),
        known_by=_known_by(facts, name, tally),
        unknown_why=UNKNOWN_WHY if name is None else None,
    )


def _letters(facts: Facts, name: str | None, tally: QueueTally, workers: Sequence[str]) -> dict[str, Any]:
    """The dead letters of a queue, where one of its workers counts them, or one has made some."""
    letters = facts.state.letters
    if name is None or not (tally.letters or any(letters.tells(worker) for worker in workers)):
        return {}
    found: dict[str, Any] = {"letters_new": tally.letters}
    depth = (facts.state.fresh_broker(facts.now).depths or {}).get(facts.state.dead_letters)
    if depth is not None:
        waiting = letters.waiting(name, depth.ready)
        found |= {"letters_waiting": waiting.number, "letters_exact": waiting.is_exact}
    return found


def _known_by(facts: Facts, name: str | None, tally: QueueTally) -> str | None:
    if name is None or not (tally.arrivals or tally.started):
        return None
    if tally.arrivals > tally.unannounced:
        return "sent"
    if QueueKey(name) not in facts.tally.queues:
        return "worker"
    return "route" if name in facts.state.routed_queues else "received"


def _depths(facts: Facts, name: str | None) -> tuple[tuple[int | None, ...], tuple[int | None, ...], float | None]:
    """Ready and unacknowledged over the window, and by how much both together grew, a second."""
    samples = facts.state.samples(name)
    if not samples or facts.now <= facts.since:
        return (), (), None
    times = [sample.time for sample in samples]
    step = (facts.now - facts.since) / (POINTS - 1)
    found = [_at(samples, times, facts.since + number * step) for number in range(POINTS)]
    ready = tuple(None if one is None else one.ready for one in found)
    unacknowledged = tuple(None if one is None else one.unacknowledged for one in found)
    known = [(number, one) for number, one in enumerate(found) if one is not None]
    (first, was), (last, now_is) = (known[0], known[-1]) if known else ((0, None), (0, None))
    if was is None or now_is is None or last == first:
        return ready, unacknowledged, None
    more = now_is.ready - was.ready + (now_is.unacknowledged or 0) - (was.unacknowledged or 0)
    return ready, unacknowledged, more / ((last - first) * step)


def _at(samples: Sequence[Sample], times: Sequence[float], time: float) -> Sample | None:
    place = bisect_right(times, time)
    return samples[place - 1] if place else None


def _rates(facts: Facts) -> dict[str | None, tuple[list[float], list[float]]]:
    """Arrivals and ends a second over the window, by queue."""
    since, step = facts.since, max(0.001, (facts.now - facts.since) / POINTS)
    arrivals: defaultdict[str | None, list[float]] = defaultdict(lambda: [0.0] * POINTS)
    done: defaultdict[str | None, list[float]] = defaultdict(lambda: [0.0] * POINTS)
    for tally in facts.state.rolling:
        if tally.ended <= since:
            continue
        place = max(0, min(POINTS - 1, int(((tally.began + tally.ended) / 2 - since) / step)))
        for key, of_queue in tally.queues.items():
            queue = facts.queue_of(key)
            if of_queue.arrivals:
                arrivals[queue][place] += of_queue.arrivals / step
            if of_queue.done:
                done[queue][place] += of_queue.done / step
    return {
        queue: ([_rounded(one) for one in arrivals[queue]], [_rounded(one) for one in done[queue]])
        for queue in {*arrivals, *done}
    }


def _empty_in_s(waiting: int | None, growth: float | None) -> float | None:
    if waiting is None:
        return None
    if not waiting:
        return 0.0
    return _rounded(waiting / -growth) if growth is not None and growth < 0 else None


def _shares(seconds: Mapping[str, float]) -> tuple[Share, ...]:
    most = sorted(seconds.items(), key=lambda one: (-one[1], one[0]))[:MOST_SHARES]
    return tuple(Share(worker=worker, seconds=_rounded(share)) for worker, share in most)


def _rounded(value: float) -> float:
    return round(value, 3)


def _rounded_or_none(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
