"""Hoards: workers that hold more messages than they have slots, because RabbitMQ counts the prefetch of each queue.

From RabbitMQ 4 on, and on quorum queues of every version, the prefetch count belongs to the consumer and not to the
channel. A worker has one consumer for each of its queues, so with one slot and three queues it may hold three messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.metrics.intervals import length_s, times_at_least
from proj.metrics.span import SUPERSEDED, spans
from proj.queues import BROADCAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval
    from proj.metrics.span import Span

#: Seconds for which a worker must hold too many. Between the end of a task and its event, a worker with threads may
#: already receive the next message.
SHORTEST_S = 1.0
#: Queues that a sentence names.
MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Hoard:
    """One worker that held messages for which it had no slot."""

    worker: str
    slots: int
    queues: tuple[str, ...]
    #: The most of them at one time.
    held: int

    def sentence(self, *, now: bool) -> str:
        """What it holds (`now`) or held, why, and what to do."""
        messages = f"{self.held} message{'s' * (self.held > 1)}"
        more = f" and {len(self.queues) - MOST_NAMED} more" if len(self.queues) > MOST_NAMED else ""
        return (
            f"Worker {self.worker} ({self.slots} slot{'s' * (self.slots > 1)}) "
            f"{'holds' if now else 'held up to'} {messages} for which it {'has' if now else 'had'} no free slot, "
            "because RabbitMQ applies the prefetch count to each of its queues "
            f"({', '.join(self.queues[:MOST_NAMED])}{more}). "
            "Use adaptive dispatch, or start one worker for each queue (-Q NAME), so that another worker can run them."
        )


def hoards(attempts: Sequence[Attempt], workers: Iterable[Worker], *, until: float | None = None) -> list[Hoard]:
    """The workers that had more messages than slots for at least `SHORTEST_S` seconds, by name.

    Only a worker counts that consumes several queues in dispatch mode fair: in adaptive dispatch it gives back what it
    holds, and any other mode holds messages on purpose.
    Broadcasts count only while they run, because no other worker could run them. `until` is the present time while the
    work goes on.
    """
    able = {one.name: one for one in workers if one.dispatch == "fair" and one.slots and len(one.queues) > 1}
    if not able:
        return []
    had: dict[str, list[Interval]] = {name: [] for name in able}
    for span in spans(attempts, until=until):
        if span.attempt.worker in able and (interval := _with_worker(span)) is not None:
            had[span.attempt.worker].append(interval)
    found = ((one, _most_without_slot(had[name], one.slots or 0)) for name, one in sorted(able.items()))
    return [Hoard(worker=one.name, slots=one.slots or 0, queues=one.queues, held=held) for one, held in found if held]


def _with_worker(span: Span) -> Interval | None:
    """When the worker had the message: from its receipt if another worker could have run it, else from its start."""
    attempt = span.attempt
    if span.held is None or attempt.state in SUPERSEDED:
        # When a delivery without an end was over is not known.
        return None
    # Celery raises the prefetch count for a message that is not due.
    early = attempt.eta is not None and attempt.received is not None and attempt.received < attempt.eta
    if early or attempt.queue == BROADCAST.name:
        return span.running
    return span.held[0], span.held[1] if span.running is None else span.running[1]


def _most_without_slot(had: Sequence[Interval], slots: int) -> int:
    """The most messages at one time for which there was no slot."""
    held = 0
    while any(length_s(time) >= SHORTEST_S for time in times_at_least(had, slots + held + 1)):
        held += 1
    return held
