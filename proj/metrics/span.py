"""Spans: when an attempt waited in the broker, was held by its worker, and ran.

Three rules make whole intervals of incomplete records:

- Whatever is not over counts up to the end of the record: the latest time that any of the attempts tells of.
- A delivery that was lost or returned is over when the task was delivered again; an attempt of whose end nobody told,
  when the task was sent again. The next waits in the broker from then on, so that no second counts twice.
- Until its eta an attempt waits for that alone, wherever it is.

Whose clock: `sent` and `eta` are the producer's, all else is the worker's. So the wait in the broker is the difference
of two clocks; the time held and the time of work are each of one. An interval that would end before it begins, as
skew makes them, is empty.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from proj.journal.attempts import LOST, RETURNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt
    from proj.metrics.intervals import Interval

#: The states of a delivery that another has followed.
BROKEN_OFF = (LOST, RETURNED)


class Span(NamedTuple):
    """The intervals of one attempt; None where it has none. A tuple, since there is one for each of a million."""

    attempt: Attempt
    #: In the broker, due, and with no worker.
    waiting: Interval | None
    #: With a worker, due, and not started.
    held: Interval | None
    running: Interval | None
    #: Seconds that passed between its publish (or receipt) and its eta; None without an eta.
    eta_wait_s: float | None
    #: When the task was delivered again, because this delivery was lost or returned.
    broken_off: float | None


def spans(attempts: Sequence[Attempt], *, until: float | None = None) -> list[Span]:
    """The span of each attempt, in the order of the attempts; the record ends `until` then, if it is later."""
    end = end_of_record(attempts, until=until)
    before, after = _neighbours(attempts)
    return [_span(attempt, before.get(place), after.get(place), end) for place, attempt in enumerate(attempts)]


def end_of_record(attempts: Sequence[Attempt], *, until: float | None = None) -> float:
    """The latest time that any of them tells of, or `until`; 0 if there is none."""
    return max(
        until or 0.0,
        max((attempt.sent or 0.0 for attempt in attempts), default=0.0),
        max((attempt.received or 0.0 for attempt in attempts), default=0.0),
        max((attempt.started or 0.0 for attempt in attempts), default=0.0),
        max((attempt.finished or 0.0 for attempt in attempts), default=0.0),
    )


def receipt(attempt: Attempt) -> float | None:
    """When a worker had it at the latest: a later event tells of a receipt whose own event is missing."""
    if attempt.received is not None:
        return attempt.received
    begun = start(attempt)
    if begun is not None:
        return begun
    return attempt.finished if attempt.state not in BROKEN_OFF else None


def start(attempt: Attempt) -> float | None:
    """When its work began, from its end and run time if the event of the start is missing."""
    if attempt.started is None and attempt.finished is not None and attempt.runtime_s is not None:
        return attempt.finished - attempt.runtime_s
    return attempt.started


def _neighbours(attempts: Sequence[Attempt]) -> tuple[dict[int, Attempt], dict[int, Attempt]]:
    """The attempt of the same task before and after each that has one, by its place."""
    first: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    for place, attempt in enumerate(attempts):
        seen = first.setdefault(attempt.task_id, place)
        if seen != place:
            places.setdefault(attempt.task_id, [seen]).append(place)
    before: dict[int, Attempt] = {}
    after: dict[int, Attempt] = {}
    for several in places.values():
        several.sort(key=lambda place: attempts[place].number)
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
        ended if attempt.state in BROKEN_OFF else None,
    )


def _end(attempt: Attempt, after: Attempt | None, end: float) -> float:
    if attempt.finished is not None:
        return attempt.finished
    if after is None:
        return end
    # A redelivery is of the same publish; a retry is of its own, made when this attempt ended.
    again = after.sent if after.sent is not None and after.sent != attempt.sent else receipt(after)
    return end if again is None else again


def _interval(begin: float, end: float, due: float | None) -> Interval:
    if due is not None and due > begin:
        begin = due
    return (begin, max(begin, end))
