"""Lanes: the attempts of each worker, side by side as its slots ran them."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from proj.metrics.participants import Floor
from proj.metrics.span import end_of_record, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.participants import Place
    from proj.metrics.span import Span


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One slot of a worker."""

    worker: str
    #: From 0.
    slot: int
    #: In the order in which they began.
    attempts: tuple[Attempt, ...]


def lanes(attempts: Sequence[Attempt], workers: Iterable[Worker]) -> list[Lane]:
    """A lane for every slot of every worker that took part, idle ones included, by worker and slot.

    Celery's events do not say which slot ran an attempt, so each goes to the first slot that is free when it starts:
    the greedy partition of intervals, which needs as few lanes as run at once (Kleinberg and Tardos, Algorithm Design,
    4.1). Where more ran at once than there are slots, as the order of events may make it look, it goes to the slot
    that is free next, and overlaps. An attempt that never started takes no slot and stands in the one that was free
    next when its record ended.
    """
    found = spans(attempts)
    return lanes_of(Floor(found, workers, end=end_of_record(attempts)))


def lanes_of(floor: Floor) -> list[Lane]:
    """The same, when the floor is there already."""
    return [lane for place in floor.places.values() for lane in _lanes_of(place)]


def _lanes_of(place: Place) -> list[Lane]:
    rows: list[list[Attempt]] = [[] for _ in range(place.slots)]
    free = list(range(place.slots))
    busy: list[tuple[float, int]] = []
    for span in sorted(place.spans, key=_begin):
        begin = _begin(span)
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if span.running is None:
            rows[free[0] if free else busy[0][1]].append(span.attempt)
            continue
        slot = heappop(free) if free else heappop(busy)[1]
        rows[slot].append(span.attempt)
        heappush(busy, (span.running[1], slot))
    return [Lane(worker=place.name, slot=slot, attempts=tuple(row)) for slot, row in enumerate(rows)]


def _begin(span: Span) -> float:
    """When it started, or for one that never did, when it stopped being held."""
    if span.running is not None:
        return span.running[0]
    return span.held[1] if span.held is not None else 0.0
