"""Records: what all figures of some attempts are made of, computed once; and the same for a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.journal.event import RECEIVED, SENT, STARTED
from proj.metrics.participants import Floor
from proj.metrics.span import end_of_record, spans
from proj.metrics.waits import avoidable_waits_of, idle_while_backlog_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.span import Span

#: States of attempts that are still to end.
OPEN = frozenset({SENT, RECEIVED, STARTED})


@dataclass(frozen=True, kw_only=True)
class Record:
    """Some attempts with their spans, the floor they ran on, and their avoidable waits."""

    #: Of each attempt, in their order.
    spans: Sequence[Span]
    avoidable: Sequence[float]
    floor: Floor
    #: Seconds that each worker idled while work waited, by its name.
    idle: dict[str, float]
    #: The last second of the record.
    end: float
    #: The same while an attempt is open and time goes on, else None.
    until: float | None

    @classmethod
    def of(cls, attempts: Sequence[Attempt], workers: Iterable[Worker], *, until: float | None = None) -> Record:
        """The record of some attempts and of the workers that were there.

        `until` is now, for attempts that are being watched: what is open counts up to it. When nothing is open it
        changes nothing, so that the figures of what is done stand still.
        """
        until = until if any(attempt.state in OPEN for attempt in attempts) else None
        end = end_of_record(attempts, until=until)
        found = spans(attempts, until=until)
        floor = Floor(found, workers, end=end)
        return cls(
            spans=found,
            avoidable=avoidable_waits_of(found, floor),
            floor=floor,
            idle=idle_while_backlog_s(found, floor),
            end=end,
            until=until,
        )

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts, in their order."""
        return [span.attempt for span in self.spans]

    def part(self, places: Iterable[int], workers: Collection[str]) -> Record:
        """The record of the attempts in some places, and of some workers, beside the others.

        Waits are those of the whole: a slot that another part has free could have taken a message of this one.
        """
        places = list(places)
        found = [self.spans[place] for place in places]
        return Record(
            spans=found,
            avoidable=[self.avoidable[place] for place in places],
            floor=self.floor.part(found, workers),
            idle=self.idle,
            end=self.end,
            until=self.until if any(span.attempt.state in OPEN for span in found) else None,
        )
