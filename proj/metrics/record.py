"""Record: what all figures of some attempts need, computed once; and the same for a part of the attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.journal.attempt import OPEN
from proj.metrics.participants import Participants
from proj.metrics.span import end_of_record, spans
from proj.metrics.waits import avoidable_waits_of, idle_while_backlog_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Gap, Worker
    from proj.metrics.span import Span


@dataclass(frozen=True, kw_only=True)
class Record:
    """Attempts with their spans, their avoidable waits and the workers that took part."""

    #: One span for each attempt, in the order of the attempts.
    spans: Sequence[Span]
    #: The avoidable wait of each attempt in seconds, in the same order.
    avoidable: Sequence[float]
    participants: Participants
    #: Seconds that each worker, by its name, was idle while work waited.
    idle: dict[str, float]
    #: The end of the record, in seconds since the epoch.
    end: float
    #: The time now, in seconds since the epoch, if the run goes on and an attempt has not ended; else None.
    until: float | None

    @classmethod
    def of(
        cls,
        attempts: Sequence[Attempt],
        workers: Iterable[Worker],
        *,
        until: float | None = None,
        gaps: Iterable[Gap] = (),
    ) -> Record:
        """The record of `attempts` and of the workers that could have taken them.

        `until` is the time now, for a run that goes on: an attempt that has not ended counts up to it. If all have
        ended, it is ignored, so that the figures no longer change. During a gap of which it is not known how many
        events are missing, as while the broker was away, no wait is avoidable, because no worker is known to be free.
        """
        until = until if any(attempt.state in OPEN for attempt in attempts) else None
        end = end_of_record(attempts, until=until)
        found = spans(attempts, until=until)
        participants = Participants(
            found, workers, end=end, unknown=[(gap.began, gap.ended) for gap in gaps if gap.events is None]
        )
        return cls(
            spans=found,
            avoidable=avoidable_waits_of(found, participants),
            participants=participants,
            idle=idle_while_backlog_s(found, participants),
            end=end,
            until=until,
        )

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts, in their order."""
        return [span.attempt for span in self.spans]

    def part(self, indexes: Iterable[int], workers: Collection[str]) -> Record:
        """The record of some attempts, by their indexes, and of some workers.

        Avoidable waits stay those of the whole record, because a free slot of another part could have taken a message
        of this part.
        """
        indexes = list(indexes)
        found = [self.spans[index] for index in indexes]
        return Record(
            spans=found,
            avoidable=[self.avoidable[index] for index in indexes],
            participants=self.participants.part(found, workers),
            idle=self.idle,
            end=self.end,
            until=self.until if any(span.attempt.state in OPEN for span in found) else None,
        )
