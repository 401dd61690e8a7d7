"""Drawing of one run: the lanes of its slots, held messages, queue depths and waits, thinned to a bounded size."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proj import metrics
from proj.metrics.intervals import length_s
from proj.metrics.span import end_of_record
from proj.report.tables import LABEL_LENGTH, depths_table, label
from proj.report.thinning import Bar, quantiles, steps, thin_bars, thin_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.journal.records import Run, Sample
    from proj.metrics.span import Span

#: About how many bars a document may have in all.
BARS = 8000
#: Limits for the number of bars in one lane.
LEAST_BARS = 60
MOST_BARS = 1200
#: The most workers, lanes and queues of a run that are drawn. The figures are of all.
MAX_WORKERS = 32
MAX_LANES = 64
MAX_QUEUES = 8
#: What stands for the queue of a task whose queue is not known.
NO_QUEUE = "queue not known"


def bars_a_lane(workers: int) -> int:
    """The number of bars that a lane may have in a document that draws so many workers."""
    return max(LEAST_BARS, min(MOST_BARS, BARS // max(1, workers)))


def draw_run(
    run: Run, record: metrics.Record, samples: Sequence[Sample], *, bars: int, arguments: bool
) -> tuple[dict[str, Any], list[str]]:
    """The run's part of the document, and sentences about what it leaves out; without lanes, if `bars` is 0."""
    found = record.spans
    begins = (
        time
        for attempt in record.attempts
        for time in (attempt.sent, attempt.received, attempt.started, attempt.finished)
        if time is not None
    )
    origin = min(begins, default=run.began)
    span_s = max(0.0, end_of_record(record.attempts, until=record.until) - origin)
    queues = _queues(found)
    lanes = metrics.lanes_of(record.participants) if bars else ()
    groups, notes = _groups(found, lanes, origin, span_s, bars=bars, arguments=arguments, queues=queues)
    depths, of_broker = _depths(found, samples, origin, span_s)
    if len(depths) > MAX_QUEUES:
        notes.append(f"The {MAX_QUEUES} fullest of {len(depths)} queues are drawn.")
        depths = sorted(depths, key=lambda depth: -max(depth["ready"]["values"], default=0))[:MAX_QUEUES]
    drawn = {
        "name": run.name,
        "dispatch": run.dispatch,
        "origin": round(origin, 3),
        "span_s": round(span_s, 3),
        "queues": queues,
        "groups": groups,
        "depths": depths,
        "depth": asdict(depths_table(depths)),
        "depths_source": "broker" if of_broker else "attempts",
        "waits": _waits(found, record.avoidable),
    }
    if record.until is not None:
        drawn["live"] = True
    return drawn, notes


def _groups(
    found: Sequence[Span],
    lanes: Sequence[metrics.Lane],
    origin: float,
    span_s: float,
    *,
    bars: int,
    arguments: bool,
    queues: Sequence[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    notes = []
    places = {name: place for place, name in enumerate(queues)}
    by_task = {(span.attempt.task_id, span.attempt.number): span for span in found}
    by_worker: dict[str, list[list[Bar]]] = defaultdict(list)
    for lane in lanes:
        own = (by_task[one.task_id, one.number] for one in lane.attempts)
        of_lane = [bar for span in own for bar in _bars(span, origin, arguments=arguments, places=places)]
        by_worker[lane.worker].append(of_lane)
    held: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for span in found:
        if span.held is not None and span.attempt.worker is not None:
            held[span.attempt.worker] += _changes(span.held, origin)
    groups: list[dict[str, Any]] = []
    drawn = joined = 0
    for name, own_lanes in by_worker.items():
        if len(groups) == MAX_WORKERS or (drawn and drawn + len(own_lanes) > MAX_LANES):
            notes.append(f"{len(groups)} of {len(by_worker)} workers are drawn; the figures are of all workers.")
            break
        thin = [thin_bars(lane, span_s=span_s, limit=max(1, bars // len(own_lanes))) for lane in own_lanes]
        drawn += len(thin)
        joined += sum(bar.attempts for lane in thin for bar in lane if bar.attempts > 1)
        groups.append(
            {
                "worker": name,
                "lanes": [[_cells(bar) for bar in lane] for lane in thin],
                "held": _series(*steps(held[name]), span_s),
            }
        )
    if joined:
        notes.append(
            f"{joined:,} of {len(found):,} attempts are too short to be drawn alone. "
            "The height of a bar that stands for several is the share of its time in which they ran."
        )
    return groups, notes


def _queues(found: Sequence[Span]) -> list[str]:
    """The queues of the attempts, the one with the most first; those that are not known are the last."""
    counts = Counter(span.attempt.queue for span in found)
    known = sorted((-count, name) for name, count in counts.items() if name is not None)
    return [*(name for _, name in known), *([NO_QUEUE] if counts[None] else [])]


def _bars(span: Span, origin: float, *, arguments: bool, places: Mapping[str, int]) -> list[Bar]:
    """The bar of an attempt's work; empty if it has not started."""
    attempt = span.attempt
    if span.running is None:
        return []
    kind = "running"
    if attempt.state in ("lost", "failed"):
        kind = attempt.state
    elif attempt.running:
        kind = "unfinished"
    elif attempt.redelivered:
        kind = "redelivered"
    name = (label(attempt.arguments) if arguments else "") or (attempt.name or attempt.task_id[:8])[:LABEL_LENGTH]
    begin, end = span.running[0] - origin, span.running[1] - origin
    return [Bar(begin, end, kind, name, queue=places[attempt.queue or NO_QUEUE])]


def _changes(interval: tuple[float, float], origin: float) -> list[tuple[float, int]]:
    """The changes of a count that the interval makes: +1 at its begin, -1 at its end; none if it is empty."""
    begin, end = interval
    return [(begin - origin, 1), (end - origin, -1)] if end > begin else []


def _cells(bar: Bar) -> list[float | str]:
    """The bar as in the document."""
    share = bar.share if bar.attempts > 1 else 1
    return [round(bar.start, 3), round(bar.end, 3), bar.kind, bar.label, bar.attempts, share, bar.queue]


def _depths(
    found: Sequence[Span], samples: Sequence[Sample], origin: float, span_s: float
) -> tuple[list[dict[str, Any]], bool]:
    """The depths of the queues, and whether the broker reported them; if not, they are counted from the attempts."""
    depths = []
    by_queue: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if 0 <= sample.time - origin <= span_s:
            by_queue[sample.queue].append(sample)
    if by_queue:
        for queue, of_queue in sorted(by_queue.items()):
            if len(by_queue) > 1 and not any(sample.ready or sample.unacknowledged for sample in of_queue):
                continue
            asked = [sample.time - origin for sample in of_queue]
            ready = _series(asked, [sample.ready for sample in of_queue], span_s)
            held = [sample.unacknowledged for sample in of_queue if sample.unacknowledged is not None]
            unacknowledged = _series(asked, held, span_s) if len(held) == len(asked) else None
            depths.append({"queue": queue, "ready": ready, "unacknowledged": unacknowledged})
        return depths, True
    waiting: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for span in found:
        if span.waiting is not None:
            waiting[span.attempt.queue or NO_QUEUE] += _changes(span.waiting, origin)
    for queue, changes in sorted(waiting.items()):
        depths.append({"queue": queue, "ready": _series(*steps(changes), span_s), "unacknowledged": None})
    return depths, False


def _series(times: Sequence[float], values: Sequence[int], span_s: float) -> dict[str, list[Any]]:
    thin_times, thin_values = thin_steps(times, values, span_s=span_s)
    return {"times": thin_times, "values": thin_values}


def _waits(found: Sequence[Span], avoidable: Sequence[float]) -> dict[str, list[float]]:
    """The quantiles of the waits, of the same attempts as the figures of these names."""
    return {
        "broker": quantiles([length_s(span.waiting) for span in found if span.waiting is not None]),
        "held": quantiles([length_s(span.held) for span in found if span.held is not None]),
        "avoidable": quantiles([wait for wait, span in zip(avoidable, found, strict=True) if span.held is not None]),
    }
