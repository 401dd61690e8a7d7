"""Lanes: which slot of a worker ran which attempt."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from proj.metrics.participants import Participants
from proj.metrics.span import end_of_record, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.participants import Participant
    from proj.metrics.span import Span


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One slot of a worker."""

    worker: str
    #: Counted from 0.
    slot: int
    #: In the order of their starts.
    attempts: tuple[Attempt, ...]


def lanes(attempts: Sequence[Attempt], workers: Iterable[Worker]) -> list[Lane]:
    """One lane for each slot of each worker that took part, ordered by worker and slot; idle slots have an empty lane.

    Celery's events do not say which slot ran an attempt. Each attempt is therefore put into the free slot with the
    lowest number when it starts. If more attempts ran at once than the worker has slots, which delayed events can make
    it look like, the attempt is put into the slot that becomes free next, and overlaps. An attempt that never started
    takes no slot; it is listed in the slot that was free when the worker gave the attempt up.

    Source: greedy interval partitioning, J. Kleinberg and E. Tardos, Algorithm Design (2005), section 4.1.
    """
    found = spans(attempts)
    return lanes_of(Participants(found, workers, end=end_of_record(attempts)))


def lanes_of(participants: Participants) -> list[Lane]:
    """`lanes`, from participants that are known already."""
    return [lane for participant in participants.by_name.values() for lane in _lanes_of(participant)]


def _lanes_of(participant: Participant) -> list[Lane]:
    rows: list[list[Attempt]] = [[] for _ in range(participant.slots)]
    free = list(range(participant.slots))
    busy: list[tuple[float, int]] = []
    for span in sorted(participant.spans, key=_begin):
        begin = _begin(span)
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if span.running is None:
            rows[free[0] if free else busy[0][1]].append(span.attempt)
            continue
        slot = heappop(free) if free else heappop(busy)[1]
        rows[slot].append(span.attempt)
        heappush(busy, (span.running[1], slot))
    return [Lane(worker=participant.name, slot=slot, attempts=tuple(row)) for slot, row in enumerate(rows)]


def _begin(span: Span) -> float:
    """Its start; without a start, the time at which it was no longer held. Seconds since the epoch."""
    if span.running is not None:
        return span.running[0]
    return span.held[1] if span.held is not None else 0.0
