"""Span: when an attempt waited in the broker, was held by its worker, and ran.

Three rules complete the intervals of incomplete records:

- What has not ended counts up to the end of the record, which is the latest time of any of the attempts.
- A delivery that was lost or returned ends when the task is delivered again. Any other attempt without an end event
  ends when the task is sent again. The next attempt waits in the broker from then on, so that no second counts twice.
- Until its ETA an attempt waits only for the ETA, whether it is in the broker or with a worker.

`sent` and `eta` are by the producer's clock, all other times by the worker's. The wait in the broker is therefore the
difference of two clocks, and the time held and the time of work are each by one clock. If skew makes an interval end
before it begins, it is empty.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from proj.journal.attempt import LOST, RETURNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt
    from proj.metrics.intervals import Interval

#: The states of a delivery that was followed by another delivery of the same try.
SUPERSEDED = (LOST, RETURNED)


class Span(NamedTuple):
    """The intervals of one attempt, None where it has none. A tuple, because a record may have a million of them."""

    attempt: Attempt
    #: In the broker: from the publish, or the end of the attempt before, to the receipt; never before the ETA.
    waiting: Interval | None
    #: With a worker and not started: from the receipt to the start; never before the ETA.
    held: Interval | None
    #: From the start to the end.
    running: Interval | None
    #: Seconds from the publish (or, if that is not known, the receipt) to the ETA; None without an ETA.
    eta_wait_s: float | None
    #: If this delivery was lost or returned: when the task was delivered again, in seconds since the epoch.
    superseded_at: float | None


def spans(attempts: Sequence[Attempt], *, until: float | None = None) -> list[Span]:
    """The span of each attempt, in the order of the attempts. The record ends at `until`, if that is later."""
    end = end_of_record(attempts, until=until)
    before, after = _neighbours(attempts)
    return [_span(attempt, before.get(index), after.get(index), end) for index, attempt in enumerate(attempts)]


def end_of_record(attempts: Sequence[Attempt], *, until: float | None = None) -> float:
    """The latest time of any attempt, or `until` if that is later, in seconds since the epoch; 0.0 if there is none."""
    return max(
        until or 0.0,
        max((attempt.sent or 0.0 for attempt in attempts), default=0.0),
        max((attempt.received or 0.0 for attempt in attempts), default=0.0),
        max((attempt.started or 0.0 for attempt in attempts), default=0.0),
        max((attempt.finished or 0.0 for attempt in attempts), default=0.0),
    )


def receipt(attempt: Attempt) -> float | None:
    """When a worker received it. If that event is missing, it is the time of the next event of the worker."""
    if attempt.received is not None:
        return attempt.received
    begun = start(attempt)
    if begun is not None:
        return begun
    return attempt.finished if attempt.state not in SUPERSEDED else None


def start(attempt: Attempt) -> float | None:
    """When its work began. If that event is missing, it is the end minus the run time."""
    if attempt.started is None and attempt.finished is not None and attempt.runtime_s is not None:
        return attempt.finished - attempt.runtime_s
    return attempt.started


def _neighbours(attempts: Sequence[Attempt]) -> tuple[dict[int, Attempt], dict[int, Attempt]]:
    """The attempts of the same task before and after each attempt that has one, by the index of the attempt."""
    first: dict[str, int] = {}
    indexes: dict[str, list[int]] = {}
    for index, attempt in enumerate(attempts):
        seen = first.setdefault(attempt.task_id, index)
        if seen != index:
            indexes.setdefault(attempt.task_id, [seen]).append(index)
    before: dict[int, Attempt] = {}
    after: dict[int, Attempt] = {}
    for several in indexes.values():
        several.sort(key=lambda index: attempts[index].number)
        for one, other in pairwise(several):
            before[other], after[one] = attempts[one], attempts[other]
    return before, after


def _span(attempt: Attempt, before: Attempt | None, after: Attempt | None, end: float) -> Span:
    received, started, ready, due = receipt(attempt), start(attempt), attempt.sent, attempt.eta
    ended = _end(attempt, after, end)
    with_worker = end if received is None else received
    if ready is not None and before is not None:
        ready = max(ready, with_worker if before.finished is None else before.finished)
    until, eta_wait_s = ended if started is None else started, None
    if due is not None:
        since = ready if ready is not None else received
        eta_wait_s = 0.0 if since is None else max(0.0, min(due, until) - since)
    return Span(
        attempt,
        None if ready is None else _interval(ready, with_worker, due),
        None if received is None else _interval(received, until, due),
        None if started is None else _interval(started, ended, None),
        eta_wait_s,
        ended if attempt.state in SUPERSEDED else None,
    )


def _end(attempt: Attempt, after: Attempt | None, end: float) -> float:
    if attempt.finished is not None:
        return attempt.finished
    if after is None:
        return end
    # A retry has a publish of its own, made when this attempt ended. A redelivery has the same publish as this attempt.
    again = after.sent if after.sent is not None and after.sent != attempt.sent else receipt(after)
    return end if again is None else again


def _interval(begin: float, end: float, due: float | None) -> Interval:
    if due is not None and due > begin:
        begin = due
    return (begin, max(begin, end))
