"""How a queue fills and drains: rates, time to empty and slots needed, from looks at it one after the other."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds of looks that figures are made of: several of the broker's collections, so that they do not jump with each.
WINDOW_S = 15.0
#: Looks that are kept however long ago they were, for who looks seldom.
FEWEST_LOOKS = 4
#: Seconds that looks must span before they tell a rate.
SETTLED_S = 2.0
#: Seconds after which a count that stands still does so because nothing happens: RabbitMQ collects its statistics
#: every five seconds (`collect_statistics_interval`), and a look comes up to two seconds later.
STANDSTILL_S = 8.0
#: Seconds that a count may be older than the backlog that is seen beside it: one of the broker's collections.
COLLECTED_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a queue at one time."""

    at_s: float
    ready: int
    #: With consumers; None when the broker cannot be asked.
    unacknowledged: int | None
    #: The broker's count of all messages that consumers have ever finished: acknowledged, or taken without; None when
    #: it cannot be asked.
    finished: int | None
    #: Whether each unacknowledged message keeps one slot busy: late acknowledgement, a window of one a slot.
    one_a_slot: bool = False

    def continues(self, earlier: Look) -> bool:
        """Whether the two count alike: a broker that was restarted begins at zero, and AMQP tells less."""
        if self.finished is None or earlier.finished is None:
            return self.finished is earlier.finished
        return self.finished >= earlier.finished

    @property
    def backlog(self) -> int:
        """Messages that are not finished, as far as they are known."""
        return self.ready + (self.unacknowledged or 0)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How a queue fills and drains at present; None is what is not known, or not yet."""

    #: Messages that came, by balance: the growth and what was finished. The broker's own count of publishes has those
    #: that a full queue refused, and has not those that come out of a delay (`countdown`, retries).
    in_per_s: float | None = None
    #: Messages that were finished.
    out_per_s: float | None = None
    #: The one less the other, over the same time; less than that where messages left unfinished: purged, or expired.
    growth_per_s: float | None = None
    #: Seconds until nothing is left at this rate; 0 when nothing is. None when it does not shrink, too.
    empty_in_s: float | None = None
    #: Slots that would finish as much as comes, by Little's law: what comes in a second times the mean seconds of work.
    slots: float | None = None


class Trend:
    """The looks at one queue that its figures are made of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> Flow:
        """Look once more; the flow as it is now."""
        looks = self._looks
        if looks and not look.continues(looks[-1]):
            looks.clear()
        looks.append(look)
        while len(looks) > FEWEST_LOOKS and look.at_s - looks[0].at_s > WINDOW_S:
            looks.popleft()
        return flow(looks)


def flow(looks: Sequence[Look]) -> Flow:
    """The flow that looks show, the latest last."""
    if not looks:
        return Flow()
    latest = looks[-1]
    counted = counted_span(looks)
    growth = growth_per_s(*(counted or (looks[0], latest)))
    come, out = None, None
    if counted is not None and growth is not None:
        come, out = in_and_out_per_s(*counted, growth)
    empty_in_s = None
    if latest.backlog == 0:
        empty_in_s = 0.0
    elif growth is not None and growth < 0:
        empty_in_s = latest.backlog / -growth
    return Flow(
        in_per_s=come,
        out_per_s=out,
        growth_per_s=growth,
        empty_in_s=empty_in_s,
        slots=slots(looks, in_per_s=come, out_per_s=out),
    )


def counted_span(looks: Sequence[Look]) -> tuple[Look, Look] | None:
    """The looks between which it is known what was finished, so that all rates are of the same time; None if not yet.

    The broker's count stands still between its collections. So it is measured from one collection to another, each at
    the look that saw it first.
    """
    counts = [look for look in looks if look.finished is not None]
    if not counts:
        return None
    seen = [later for earlier, later in pairwise(counts) if later.finished != earlier.finished]
    oldest, now = counts[0], counts[-1]
    if not seen:
        return (oldest, now) if now.at_s - oldest.at_s >= STANDSTILL_S else None
    first, last = seen[0], seen[-1]
    if now.at_s - last.at_s >= STANDSTILL_S:
        last = now
        if len(seen) == 1:
            first = oldest
    return (first, last) if last.at_s - first.at_s >= SETTLED_S else None


def growth_per_s(first: Look, last: Look) -> float | None:
    """Messages that the backlog grew by in a second between two looks; None when they are too near to tell."""
    span_s = last.at_s - first.at_s
    return (last.backlog - first.backlog) / span_s if span_s >= SETTLED_S else None


def in_and_out_per_s(first: Look, last: Look, growth: float) -> tuple[float, float]:
    """Messages that came, and that were finished, in a second between two looks that counted what was finished."""
    span_s = last.at_s - first.at_s
    out = ((last.finished or 0) - (first.finished or 0)) / span_s
    come = growth + out
    if come >= 0:
        return come, out
    # More left than was counted as finished. If the counts' age can explain it, nothing came, and the backlog, which is
    # counted now, tells what was finished.
    return 0.0, -growth if -come * span_s <= out * COLLECTED_S else out


def slots(looks: Sequence[Look], *, in_per_s: float | None, out_per_s: float | None) -> float | None:
    """Slots that would hold the rate; None where an unacknowledged message is not a busy slot, or none is finished."""
    busy = [look.unacknowledged for look in looks if look.unacknowledged is not None and look.one_a_slot]
    if not in_per_s and in_per_s is not None and out_per_s is not None:
        return 0.0
    if in_per_s is None or not out_per_s or len(busy) < len(looks) or not any(busy):
        return None
    seconds_of_work = sum(busy) / len(busy) / out_per_s
    return in_per_s * seconds_of_work
