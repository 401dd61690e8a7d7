"""The floor: the workers that took part, each with its queues, its slots, and the times it was there and free.

A worker belongs to the queues that its record names; without a record, or one that names none, to those of the
attempts that it had. An attempt whose queue nobody told (Celery does not send `task-sent` unless told to) may be from
any queue of its worker: only who serves all of these is then sure to be able to take it.

A worker is there from the first sign of life in its attempts until the end of the record; but from its last sign
before an attempt of its was delivered again until its next, because it may have died. Its clock is taken to agree with
that of the others; no skew is corrected.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from proj.metrics.intervals import difference, most_at_once, times_at_least, union
from proj.metrics.span import BROKEN_OFF

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval
    from proj.metrics.span import Span

#: The queue of attempts whose queue nobody told and whose worker has none either.
UNNAMED = frozenset({""})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A worker, with what it had."""

    name: str
    #: As it says; else the most that it was seen to run at once, and at least one.
    slots: int
    queues: frozenset[str]
    #: The attempts it had, and when it was at them.
    spans: tuple[Span, ...]
    running: tuple[Interval, ...]
    #: The last second of the record.
    end: float
    #: The same worker with all its attempts, where this has those of one part of a record.
    whole: Place | None = None

    @cached_property
    def there(self) -> list[Interval]:
        """When it was there, in order."""
        if self.whole is not None:
            return self.whole.there
        broken_off = [span.broken_off for span in self.spans if span.broken_off is not None]
        signs = _signs_of_life(self.spans)
        if not signs:
            return []
        away = []
        for again in broken_off:
            place = bisect_left(signs, again)
            away.append((signs[max(0, place - 1)], signs[place] if place < len(signs) else self.end))
        return difference([(signs[0], max(signs[0], self.end))], union(away))

    @cached_property
    def free(self) -> list[Interval]:
        """When it was there with a slot free: it ran fewer attempts than it has slots; in order."""
        if self.whole is not None:
            return self.whole.free
        return difference(self.there, times_at_least(self.running, self.slots))

    @property
    def there_s(self) -> float:
        """Seconds that it was there, or at an attempt: a lost one runs on when its worker may have died."""
        return sum(end - begin for begin, end in union([*self.there, *self.running]))

    @property
    def busy_s(self) -> float:
        """Seconds inside attempts, those that failed or were lost included, by its clock."""
        return sum(end - begin for begin, end in self.running)


class Floor:
    """All workers that took part in some attempts, by name."""

    def __init__(self, spans: Sequence[Span], workers: Iterable[Worker], *, end: float) -> None:
        """The workers that had an attempt, and those given that serve a queue of one."""
        records = {worker.name: worker for worker in workers}
        had = _had(spans)
        self._queues = {name: _queues(records.get(name), had.get(name, ())) for name in {*records, *had}}
        self._served_alike: dict[str | None, frozenset[str]] = {}
        served = frozenset().union(*(self.queues_of(span) for span in spans))
        names = sorted({*had, *(name for name in records if self._queues[name] & served)})
        self.places = {
            name: _place(name, records.get(name), self._queues[name], tuple(had.get(name, ())), end) for name in names
        }

    @property
    def slots(self) -> int:
        """The most slots that were there at once: a worker that took a dead one's place adds none.

        Who was given nothing told nothing either, and is taken to have been there throughout.
        """
        silent = sum(place.slots for place in self.places.values() if not place.there)
        changes = [
            change
            for place in self.places.values()
            for begin, end in place.there
            for change in ((begin, 0, place.slots), (end, 1, -place.slots))
        ]
        return silent + max(accumulate(slots for _, _, slots in sorted(changes)), default=0)

    def part(self, spans: Sequence[Span], workers: Collection[str]) -> Floor:
        """Some of the workers, with only what they had of some attempts."""
        had = _had(spans)
        part = copy(self)
        part.places = {
            name: place if len(had[name]) == len(place.spans) else _part(place, had[name])
            for name, place in self.places.items()
            if name in workers
        }
        return part

    def queues_of(self, span: Span) -> frozenset[str]:
        """The queue it came from, or all those that it may have come from."""
        queue = span.attempt.queue
        if queue is None:
            return self._queues.get(span.attempt.worker or "", UNNAMED)
        known = self._served_alike.get(queue)
        if known is None:
            known = self._served_alike[queue] = frozenset({queue})
        return known


def _had(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """What each worker had."""
    had: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.attempt.worker is not None and span.held is not None:
            had[span.attempt.worker].append(span)
    return had


def _part(place: Place, had: Sequence[Span]) -> Place:
    running = tuple(span.running for span in had if span.running is not None)
    return replace(place, spans=tuple(had), running=running, whole=place)


def _queues(record: Worker | None, had: Iterable[Span]) -> frozenset[str]:
    if record is not None and record.queues:
        return frozenset(record.queues)
    return frozenset(span.attempt.queue for span in had if span.attempt.queue is not None) or UNNAMED


def _place(name: str, record: Worker | None, queues: frozenset[str], had: tuple[Span, ...], end: float) -> Place:
    running = tuple(span.running for span in had if span.running is not None)
    slots = record.slots if record is not None and record.slots else max(1, most_at_once(running))
    return Place(name=name, slots=slots, queues=queues, spans=had, running=running, end=end)


def _signs_of_life(had: Sequence[Span]) -> list[float]:
    """Every time that the worker itself told, in order."""
    attempts = [span.attempt for span in had]
    signs = [attempt.received for attempt in attempts if attempt.received is not None]
    signs += [attempt.started for attempt in attempts if attempt.started is not None]
    signs += [
        attempt.finished for attempt in attempts if attempt.finished is not None and attempt.state not in BROKEN_OFF
    ]
    return sorted(signs)
