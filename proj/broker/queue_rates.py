"""How fast a queue fills and drains: rates, time to empty and slots needed, from its counts at successive times."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds of counts that rates are computed from. Several of the broker's collections lie in it, so that the rates do
#: not jump with each of them.
SPAN_S = 15.0
#: Counts that are kept however old they are, for a user who counts seldom.
FEWEST_COUNTS = 4
#: Seconds that counts must lie apart to show a rate.
SHORTEST_SPAN_S = 2.0
#: Seconds after which an unchanged counter means that nothing is finished. RabbitMQ collects its statistics every five
#: seconds (`collect_statistics_interval`), and the next count comes up to two seconds later.
STANDSTILL_S = 8.0
#: Seconds that the counter may be older than the backlog beside it: one of the broker's collections.
COLLECTION_S = 5.0
#: How much longer than a message may be held it must be with a worker in the mean to show a busy slot. In adaptive
#: dispatch a worker of tasks that take half of `held_s`, or longer, holds none.
LONGER = 2


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts of a queue at one time."""

    #: Seconds on any clock that does not jump.
    at_s: float
    #: Messages that wait for a consumer.
    ready: int
    #: Messages with consumers; None when the broker cannot be asked.
    unacknowledged: int | None
    #: The broker's counter of all messages that consumers have finished: acknowledged, or taken without
    #: acknowledgement; None when it cannot be asked.
    finished: int | None
    #: Seconds for which an unacknowledged message may keep no slot busy, at most: 0 with late acknowledgement and a
    #: window of one per slot; None when there is no limit, or none is known.
    held_s: float | None = None

    def continues(self, earlier: Counts) -> bool:
        """Whether the counter went on: a restarted broker begins at zero, and AMQP alone has no counter."""
        if self.finished is None or earlier.finished is None:
            return self.finished is earlier.finished
        return self.finished >= earlier.finished

    @property
    def backlog(self) -> int:
        """Messages that are not finished, as far as they are known."""
        return self.ready + (self.unacknowledged or 0)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How fast a queue fills and drains now; None is unknown, or not known yet."""

    #: Messages that came, by balance: the growth and what was finished. The broker's own counter of publishes includes
    #: those that a full queue refused, and lacks those that come out of a delay (`countdown`, retries).
    in_per_s: float | None = None
    #: Messages that were finished.
    out_per_s: float | None = None
    #: The first less the second, over the same time; less than that where messages were purged or expired.
    growth_per_s: float | None = None
    #: Seconds until the backlog is 0 at this rate; 0 when it is. None also when the backlog does not shrink.
    empty_in_s: float | None = None
    #: Slots that would finish as much as comes, by Little's law: messages in per second times the mean seconds of work.
    slots: float | None = None


class RateMeter:
    """Keeps the counts of one queue that its rates are computed from."""

    def __init__(self) -> None:
        """Start with no counts."""
        self._counts: deque[Counts] = deque()

    def add(self, counts: Counts) -> Rates:
        """Add the latest counts; the rates as they are now."""
        kept = self._counts
        if kept and not counts.continues(kept[-1]):
            kept.clear()
        kept.append(counts)
        while len(kept) > FEWEST_COUNTS and counts.at_s - kept[0].at_s > SPAN_S:
            kept.popleft()
        return rates(kept)


def rates(counts: Sequence[Counts]) -> Rates:
    """The rates that counts show, the latest last."""
    if not counts:
        return Rates()
    latest = counts[-1]
    ends = counted_span(counts)
    growth = growth_per_s(*(ends or (counts[0], latest)))
    come, out = None, None
    if ends is not None and growth is not None:
        come, out = in_and_out_per_s(*ends, growth)
    empty_in_s = None
    if latest.backlog == 0:
        empty_in_s = 0.0
    elif growth is not None and growth < 0:
        empty_in_s = latest.backlog / -growth
    return Rates(
        in_per_s=come,
        out_per_s=out,
        growth_per_s=growth,
        empty_in_s=empty_in_s,
        slots=slots(counts, in_per_s=come, out_per_s=out),
    )


def counted_span(counts: Sequence[Counts]) -> tuple[Counts, Counts] | None:
    """The two counts between which the number of finished messages is known; None if there are none yet.

    All rates are computed between these two, so that they are of the same time. The broker's counter stands still
    between its collections, so the span goes from one collection to another, each at the counts that saw it first.
    """
    known = [each for each in counts if each.finished is not None]
    if not known:
        return None
    changes = [later for earlier, later in pairwise(known) if later.finished != earlier.finished]
    oldest, latest = known[0], known[-1]
    if not changes:
        return (oldest, latest) if latest.at_s - oldest.at_s >= STANDSTILL_S else None
    first, last = changes[0], changes[-1]
    if latest.at_s - last.at_s >= STANDSTILL_S:
        last = latest
        if len(changes) == 1:
            first = oldest
    return (first, last) if last.at_s - first.at_s >= SHORTEST_SPAN_S else None


def growth_per_s(first: Counts, last: Counts) -> float | None:
    """Messages per second by which the backlog grew between two counts; None when they are too close together."""
    span_s = last.at_s - first.at_s
    return (last.backlog - first.backlog) / span_s if span_s >= SHORTEST_SPAN_S else None


def in_and_out_per_s(first: Counts, last: Counts, growth: float) -> tuple[float, float]:
    """Messages per second that came and that were finished between two counts that have the broker's counter."""
    span_s = last.at_s - first.at_s
    out = ((last.finished or 0) - (first.finished or 0)) / span_s
    come = growth + out
    if come >= 0:
        return come, out
    # The backlog shrank by more than the counter says. If the counter's age can explain that, nothing came, and the
    # backlog, which is counted now, shows how much was finished. Else messages were purged or expired.
    return 0.0, -growth if -come * span_s <= out * COLLECTION_S else out


def slots(counts: Sequence[Counts], *, in_per_s: float | None, out_per_s: float | None) -> float | None:
    """Slots that would finish as much as comes; None where unacknowledged messages do not show the busy slots."""
    busy = [each.unacknowledged for each in counts if each.unacknowledged is not None and each.held_s is not None]
    if not in_per_s and in_per_s is not None and out_per_s is not None:
        return 0.0
    if in_per_s is None or not out_per_s or len(busy) < len(counts) or not any(busy):
        return None
    seconds_of_work = sum(busy) / len(busy) / out_per_s
    if seconds_of_work < LONGER * (counts[-1].held_s or 0.0):
        return None
    return in_per_s * seconds_of_work
