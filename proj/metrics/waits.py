"""Waits: how long attempts were held while another worker was free, and how long workers idled beside waiting work."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from proj.metrics.intervals import IntervalsByOwner, union
from proj.metrics.participants import Participants
from proj.metrics.span import end_of_record, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval
    from proj.metrics.span import Span


def longest_wait_s(attempts: Iterable[Attempt]) -> float:
    """The most seconds between `sent` and `started` of one attempt; 0.0 if none has both.

    Celery publishes the `task-sent` event after the task itself, so a start can come first; that wait counts as 0.
    """
    waits = [
        attempt.started - attempt.sent
        for attempt in attempts
        if attempt.started is not None and attempt.sent is not None
    ]
    return max([0.0, *waits])


def avoidable_waits(attempts: Sequence[Attempt], workers: Iterable[Worker]) -> list[float]:
    """For each attempt, in their order, the seconds it was held while another worker of its queue had a free slot.

    An attempt is held from its receipt, or its ETA if that is later, until its start. A worker has a free slot while it
    is present and runs fewer attempts than it has slots. All times are by the workers' clocks.

    Source: our own measure. It is 0 for every attempt if the dispatcher is work-conserving between workers, in the
    sense of L. Kleinrock, Queueing Systems, Volume II (1976).
    """
    found = spans(attempts)
    return avoidable_waits_of(found, Participants(found, workers, end=end_of_record(attempts)))


def avoidable_waits_of(found: Sequence[Span], participants: Participants) -> list[float]:
    """`avoidable_waits`, from spans and participants that are known already."""
    free: dict[frozenset[str], IntervalsByOwner] = {}
    waits = []
    for span in found:
        if span.held is None or span.held[0] == span.held[1]:
            waits.append(0.0)
            continue
        queues = participants.queues_of(span)
        peers = free.get(queues)
        if peers is None:
            able = (participant for participant in participants.by_name.values() if queues <= participant.queues)
            peers = free[queues] = IntervalsByOwner({participant.name: participant.free for participant in able})
        waits.append(peers.others_s(span.attempt.worker, *span.held))
    return waits


def idle_while_backlog_s(found: Sequence[Span], participants: Participants) -> dict[str, float]:
    """For each worker by its name, the seconds in which it had a free slot while work of its queues waited.

    Work waits while it is due and is either held by another worker, or still in the broker. The time in the broker
    begins by the producer's clock. A second counts once, however many slots are free and however many messages wait.
    """
    backlog: dict[frozenset[str], dict[str | None, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for span in found:
        queues = participants.queues_of(span)
        if span.waiting is not None:
            backlog[queues][None].append(span.waiting)
        if span.held is not None:
            backlog[queues][span.attempt.worker].append(span.held)
    # Merged here once, because `_intervals_by_owner` reads them once for each set of queues.
    for holders in backlog.values():
        for holder, intervals in holders.items():
            holders[holder] = union(intervals)
    backlogs: dict[frozenset[str], IntervalsByOwner] = {}
    idle = {}
    for participant in participants.by_name.values():
        if participant.queues not in backlogs:
            backlogs[participant.queues] = _intervals_by_owner(backlog, participant.queues)
        idle[participant.name] = sum(
            backlogs[participant.queues].others_s(participant.name, *free) for free in participant.free
        )
    return idle


def _intervals_by_owner(
    backlog: dict[frozenset[str], dict[str | None, list[Interval]]], queues: frozenset[str]
) -> IntervalsByOwner:
    holders: dict[str | None, list[Interval]] = defaultdict(list)
    for needed, by_holder in backlog.items():
        if needed <= queues:
            for holder, intervals in by_holder.items():
                holders[holder] += intervals
    return IntervalsByOwner(holders)
