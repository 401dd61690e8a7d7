"""Waits: those that could have been avoided, and who was idle meanwhile."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from proj.metrics.intervals import Presence, union
from proj.metrics.participants import Floor
from proj.metrics.span import end_of_record, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval
    from proj.metrics.span import Span


def longest_wait_s(attempts: Iterable[Attempt]) -> float:
    """The longest time between a publish and the start of its work; 0 when nothing has started.

    The sent event is published after the task itself, so a start can come first: that wait is 0.
    """
    waits = [
        attempt.started - attempt.sent
        for attempt in attempts
        if attempt.started is not None and attempt.sent is not None
    ]
    return max([0.0, *waits])


def avoidable_waits(attempts: Sequence[Attempt], workers: Iterable[Worker]) -> list[float]:
    """Of each attempt, the seconds it was held while another worker of the same queue had a free slot.

    Held is due, with a worker, and not started; a slot is free while its worker is there and runs fewer attempts than
    it has slots. All by the workers' clocks. No other tool has it: it is our own measure, the complement of what
    scheduling theory calls work-conserving (Kleinrock, Queueing Systems II, 1976).
    """
    found = spans(attempts)
    return avoidable_waits_of(found, Floor(found, workers, end=end_of_record(attempts)))


def avoidable_waits_of(found: Sequence[Span], floor: Floor) -> list[float]:
    """The same, when spans and floor are there already."""
    free: dict[frozenset[str], Presence] = {}
    waits = []
    for span in found:
        if span.held is None or span.held[0] == span.held[1]:
            waits.append(0.0)
            continue
        queues = floor.queues_of(span)
        peers = free.get(queues)
        if peers is None:
            able = (place for place in floor.places.values() if queues <= place.queues)
            peers = free[queues] = Presence({place.name: place.free for place in able})
        waits.append(peers.seconds_of_others(span.attempt.worker, *span.held))
    return waits


def idle_while_backlog_s(found: Sequence[Span], floor: Floor) -> dict[str, float]:
    """Of each worker, the seconds it had a free slot while work that it could have done waited.

    Such work is due, of its queues, and either with another worker that has not started it, or in the broker and with
    no worker yet (which is by the producers' clock until the receipt). However many slots are free and however much
    waits, a second counts once.
    """
    backlog: dict[frozenset[str], dict[str | None, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for span in found:
        queues = floor.queues_of(span)
        if span.waiting is not None:
            backlog[queues][None].append(span.waiting)
        if span.held is not None:
            backlog[queues][span.attempt.worker].append(span.held)
    # Joined once, since every set of queues that workers serve is made of them.
    for holders in backlog.values():
        for holder, intervals in holders.items():
            holders[holder] = union(intervals)
    presences: dict[frozenset[str], Presence] = {}
    idle = {}
    for place in floor.places.values():
        if place.queues not in presences:
            presences[place.queues] = _presence(backlog, place.queues)
        idle[place.name] = sum(presences[place.queues].seconds_of_others(place.name, *free) for free in place.free)
    return idle


def _presence(backlog: dict[frozenset[str], dict[str | None, list[Interval]]], queues: frozenset[str]) -> Presence:
    holders: dict[str | None, list[Interval]] = defaultdict(list)
    for needed, by_holder in backlog.items():
        if needed <= queues:
            for holder, intervals in by_holder.items():
                holders[holder] += intervals
    return Presence(holders)
