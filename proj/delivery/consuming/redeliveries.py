"""What a message has been through: counted in its own headers, on quorum and classic queues alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from proj.delivery.header_names import BROKER_COUNTS, REDELIVERIES, REQUEUES, STRIKES

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Workers that may vanish with a message before it is run alone.
_VANISHED_BEFORE_SUSPECT = 2


class Course(Enum):
    """What to do with a message that has just come."""

    RUN = "run"
    #: To the end of its queue, with what the broker does not count written into it.
    LATER = "later"
    #: To where messages are run alone.
    SUSPECT = "suspect"
    BURY = "bury"


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a message has been through."""

    strikes: int
    requeues: int
    #: Workers that vanished with it, this queue's broker included.
    vanished: int
    #: Workers that vanished with it since it was published to the queue that it is in now.
    vanished_here: int
    #: Whether the broker counts deliveries in this queue.
    counted: bool

    @property
    def attempts(self) -> int:
        """How often it has been tried, this time included."""
        return 1 + self.strikes + self.requeues + self.vanished


def past(headers: Mapping[Any, Any], *, redelivered: bool, survived: int = 0) -> Past:
    """What the headers tell, whatever they hold; a stranger's count without a redelivery is not believed.

    `survived` redeliveries are known to come from a lost connection, and not from a worker that vanished.
    """
    counts = [_count(headers, name) for name in BROKER_COUNTS if name in headers] if redelivered else []
    here = max(0, (max(counts, default=0) or int(redelivered)) - survived)
    return Past(
        strikes=_count(headers, STRIKES),
        requeues=_count(headers, REQUEUES),
        vanished=_count(headers, REDELIVERIES) + here,
        vanished_here=here,
        counted=bool(counts),
    )


def course(past: Past, *, alone: bool, limit: int, own: bool = False) -> Course:
    """What to do with a message of this past; `alone` is whether nothing else runs beside it.

    Who vanished with several messages was killed by any of them, so none is guilty yet. Who vanished with one
    that ran alone was killed by that. From a worker's `own` queue, which no other worker may serve, nothing is set
    aside to be run alone: it has as many tries as that would.
    """
    if own and past.vanished >= limit:
        return Course.BURY
    if alone:
        return Course.BURY if past.vanished_here >= limit else Course.RUN
    if not past.vanished_here:
        return Course.RUN
    if past.vanished >= _VANISHED_BEFORE_SUSPECT and not own:
        return Course.SUSPECT
    return Course.RUN if past.counted else Course.LATER


def _count(headers: Mapping[Any, Any], name: str) -> int:
    value = headers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
