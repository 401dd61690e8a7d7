"""Participants: the workers that took part, with queues, slots, and when each was present and had a free slot.

A worker serves the queues that it reported. If it reported none, it serves those of its attempts. The queue of an
attempt is not known if no `task-sent` event came (Celery sends them only with `task_send_sent_event`). Such an attempt
may come from any queue of its worker, so only a worker that serves all of these queues can surely take it.

A worker is present from the first event of its attempts until the end of the record. It may have died if one of its
attempts was delivered again; it is then absent from its last event before that delivery until its next event. All
clocks are taken to agree; no skew is corrected.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from proj.metrics.intervals import difference, length_s, most_at_once, times_at_least, union
from proj.metrics.span import SUPERSEDED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval
    from proj.metrics.span import Span

#: The queues of an attempt if neither its own queue nor any queue of its worker is known.
UNNAMED = frozenset({""})


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One worker with its attempts."""

    name: str
    #: As the worker reported; else the most attempts that it ran at once, at least 1.
    slots: int
    queues: frozenset[str]
    #: Of the attempts that it received.
    spans: tuple[Span, ...]
    #: When it ran them.
    running: tuple[Interval, ...]
    #: The end of the record, in seconds since the epoch.
    end: float
    #: When it is not known what the worker did, in order.
    unknown: Sequence[Interval] = ()
    #: In a part of a record: the same worker with all its attempts.
    whole: Participant | None = None

    @cached_property
    def present(self) -> list[Interval]:
        """When it was present, in order."""
        if self.whole is not None:
            return self.whole.present
        redelivered = [span.superseded_at for span in self.spans if span.superseded_at is not None]
        times = _event_times(self.spans)
        if not times:
            return []
        away = []
        for again in redelivered:
            index = bisect_left(times, again)
            away.append((times[max(0, index - 1)], times[index] if index < len(times) else self.end))
        return difference([(times[0], max(times[0], self.end))], union(away))

    @cached_property
    def free(self) -> list[Interval]:
        """When it was present, and is known to have run fewer attempts than it has slots, in order."""
        if self.whole is not None:
            return self.whole.free
        return difference(difference(self.present, times_at_least(self.running, self.slots)), self.unknown)

    @property
    def present_s(self) -> float:
        """Seconds in which it was present or ran an attempt; a lost attempt counts as running until its redelivery."""
        return sum(map(length_s, union([*self.present, *self.running])))

    @property
    def busy_s(self) -> float:
        """Seconds inside attempts by its own clock, summed over its slots; failed and lost attempts are included."""
        return sum(map(length_s, self.running))


class Participants:
    """All workers that took part in some attempts."""

    def __init__(
        self, spans: Sequence[Span], workers: Iterable[Worker], *, end: float, unknown: Iterable[Interval] = ()
    ) -> None:
        """Take part: each worker that received an attempt, and each of `workers` that serves a queue of one.

        No worker counts as free while it is `unknown` what happened, such as while the broker was away.
        """
        records = {worker.name: worker for worker in workers}
        had = _had(spans)
        self._queues = {name: _queues(records.get(name), had.get(name, ())) for name in {*records, *had}}
        self._served_alike: dict[str | None, frozenset[str]] = {}
        served = frozenset().union(*(self.queues_of(span) for span in spans))
        gaps = union(unknown)
        names = sorted({*had, *(name for name in records if self._queues[name] & served)})
        #: Ordered by name.
        self.by_name = {
            name: _participant(name, records.get(name), self._queues[name], tuple(had.get(name, ())), end, gaps)
            for name in names
        }

    @property
    def slots(self) -> int:
        """The most slots that were present at once; a worker that replaced a dead one does not add to it.

        A worker without attempts sent no event that could tell when it was present; it counts as present throughout.
        """
        silent = sum(one.slots for one in self.by_name.values() if not one.present)
        changes = [
            change
            for one in self.by_name.values()
            for begin, end in one.present
            for change in ((begin, 0, one.slots), (end, 1, -one.slots))
        ]
        return silent + max(accumulate(slots for _, _, slots in sorted(changes)), default=0)

    def part(self, spans: Sequence[Span], workers: Collection[str]) -> Participants:
        """Some of the workers, with only those of their attempts that are in `spans`."""
        had = _had(spans)
        part = copy(self)
        part.by_name = {
            name: one if len(had[name]) == len(one.spans) else _part(one, had[name])
            for name, one in self.by_name.items()
            if name in workers
        }
        return part

    def queues_of(self, span: Span) -> frozenset[str]:
        """The queue that the attempt came from; if it is not known, all queues of its worker."""
        queue = span.attempt.queue
        if queue is None:
            return self._queues.get(span.attempt.worker or "", UNNAMED)
        known = self._served_alike.get(queue)
        if known is None:
            known = self._served_alike[queue] = frozenset({queue})
        return known


def _had(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of the attempts that each worker received, by its name."""
    had: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.attempt.worker is not None and span.held is not None:
            had[span.attempt.worker].append(span)
    return had


def _part(participant: Participant, had: Sequence[Span]) -> Participant:
    running = tuple(span.running for span in had if span.running is not None)
    return replace(participant, spans=tuple(had), running=running, whole=participant)


def _queues(record: Worker | None, had: Iterable[Span]) -> frozenset[str]:
    if record is not None and record.queues:
        return frozenset(record.queues)
    return frozenset(span.attempt.queue for span in had if span.attempt.queue is not None) or UNNAMED


def _participant(
    name: str,
    record: Worker | None,
    queues: frozenset[str],
    had: tuple[Span, ...],
    end: float,
    unknown: Sequence[Interval],
) -> Participant:
    running = tuple(span.running for span in had if span.running is not None)
    slots = record.slots if record is not None and record.slots else max(1, most_at_once(running))
    return Participant(name=name, slots=slots, queues=queues, spans=had, running=running, end=end, unknown=unknown)


def _event_times(had: Sequence[Span]) -> list[float]:
    """The times of all events that the worker itself sent about its attempts, in order."""
    attempts = [span.attempt for span in had]
    times = [attempt.received for attempt in attempts if attempt.received is not None]
    times += [attempt.started for attempt in attempts if attempt.started is not None]
    times += [
        attempt.finished for attempt in attempts if attempt.finished is not None and attempt.state not in SUPERSEDED
    ]
    return sorted(times)
