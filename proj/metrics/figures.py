"""All figures of some attempts in one object."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from math import fsum
from typing import TYPE_CHECKING

from proj.metrics.distribution import Distribution, distribution
from proj.metrics.fairness import jain
from proj.metrics.intervals import length_s
from proj.metrics.record import Record
from proj.metrics.work import ideal_s, makespan_s, work_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker


@dataclass(frozen=True, kw_only=True)
class WorkerFigures:
    """The figures of one worker."""

    name: str
    #: As the worker reported; else the most attempts that it ran at once, at least 1.
    slots: int
    #: Attempts that it started, each try and each redelivery counted.
    tasks: int
    #: Seconds inside attempts, summed over its slots; attempts that failed or were lost are included.
    busy_s: float
    #: busy_s / (slots · seconds that it was present), from 0 to 1.
    utilisation: float
    #: Seconds in which it had a free slot while work of its queues waited in the broker or was held by another worker.
    idle_while_backlog_s: float


@dataclass(frozen=True, kw_only=True)
class AvoidableWait:
    """An attempt that was held while another worker had a free slot."""

    attempt: Attempt
    #: Seconds from the receipt, or the ETA if that is later, to the start or the end of the record.
    held_s: float
    #: Seconds of these in which another worker of the queue had a free slot.
    avoidable_wait_s: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of some attempts. The functions that compute them have the definitions and sources."""

    #: Different task ids.
    tasks: int
    attempts: int
    #: Tasks with an attempt that succeeded.
    succeeded: int
    #: Tasks with an attempt that failed, and none that succeeded.
    failed: int
    #: Attempts that followed a delivery which was lost or returned.
    redelivered: int
    #: Seconds, see `makespan_s`.
    makespan_s: float
    #: Seconds, see `ideal_s`, on the most slots that were present at once.
    ideal_s: float
    #: makespan_s / ideal_s: 1 is the best that any dispatcher can reach; 0 if there was no work.
    ratio: float
    #: Tasks that succeeded or failed, divided by makespan_s.
    throughput_per_s: float
    #: Seconds from the publish, or the end of the attempt before, to the receipt, without the time before the ETA; of
    #: all attempts with a `task-sent` event. The publish is by the producer's clock, the receipt by the worker's.
    broker_wait: Distribution
    #: Seconds from the receipt to the start, without the time before the ETA, by the worker's clock; of all attempts
    #: that a worker received.
    held_wait: Distribution
    #: Seconds before the ETA, which is by the producer's clock; of all attempts with an ETA.
    eta_wait: Distribution
    #: Seconds of work, see `work_s`; of all attempts that ended.
    run_time: Distribution
    #: Seconds, see `avoidable_waits`; of the same attempts as held_wait.
    avoidable_wait: Distribution
    avoidable_wait_total_s: float
    held_wait_total_s: float
    #: Jain's index (see `jain`) over the busy seconds of all slots. The slots of a worker count as equally busy.
    jain_busy: float
    #: The same over the numbers of started attempts.
    jain_counts: float
    #: Ordered by name.
    workers: tuple[WorkerFigures, ...]
    #: Longest first; waits of 0 s are left out.
    longest_avoidable_waits: tuple[AvoidableWait, ...]


def figures(
    attempts: Iterable[Attempt], workers: Iterable[Worker], *, longest: int = 10, until: float | None = None
) -> Figures:
    """All figures of the attempts.

    The time is O(n log n) in the number of attempts, times the number of different sets of queues that workers serve.

    Args:
        attempts: in any order.
        workers: those that were present. A worker without an attempt counts if it serves a queue of the attempts. A
            worker that had an attempt and is not among them is inferred from its attempts.
        longest: how many of the longest avoidable waits to list.
        until: the time now, in seconds since the epoch, for a run that goes on: what has not ended counts up to it.
    """
    return figures_of(Record.of(tuple(attempts), workers, until=until), longest=longest)


def figures_of(record: Record, *, longest: int = 10) -> Figures:
    """`figures`, from a record that is there already."""
    found, avoidable, participants = record.spans, record.avoidable, record.participants
    attempts = record.attempts
    by_worker = tuple(
        WorkerFigures(
            name=participant.name,
            slots=participant.slots,
            tasks=len(participant.running),
            busy_s=participant.busy_s,
            utilisation=_share(participant.busy_s, participant.slots * participant.present_s),
            idle_while_backlog_s=record.idle[participant.name],
        )
        for participant in participants.by_name.values()
    )
    succeeded = {attempt.task_id for attempt in attempts if attempt.succeeded}
    failed = {attempt.task_id for attempt in attempts if attempt.state == "failed"} - succeeded
    makespan = makespan_s(attempts, until=record.until)
    ideal = ideal_s(attempts, slots=max(1, participants.slots), until=record.until)
    held = [length_s(span.held) for span in found if span.held is not None]
    worst = nlargest(longest, zip(avoidable, found, strict=True), key=lambda pair: pair[0])
    return Figures(
        tasks=len({attempt.task_id for attempt in attempts}),
        attempts=len(attempts),
        succeeded=len(succeeded),
        failed=len(failed),
        redelivered=sum(attempt.redelivered for attempt in attempts),
        makespan_s=makespan,
        ideal_s=ideal,
        ratio=_share(makespan, ideal),
        throughput_per_s=_share(len(succeeded) + len(failed), makespan),
        broker_wait=distribution(length_s(span.waiting) for span in found if span.waiting is not None),
        held_wait=distribution(held),
        eta_wait=distribution(span.eta_wait_s for span in found if span.eta_wait_s is not None),
        run_time=distribution(work for work in map(work_s, attempts) if work is not None),
        avoidable_wait=distribution(wait for wait, span in zip(avoidable, found, strict=True) if span.held is not None),
        avoidable_wait_total_s=fsum(avoidable),
        held_wait_total_s=fsum(held),
        jain_busy=jain(worker.busy_s / worker.slots for worker in by_worker for _ in range(worker.slots)),
        jain_counts=jain(worker.tasks / worker.slots for worker in by_worker for _ in range(worker.slots)),
        workers=by_worker,
        longest_avoidable_waits=tuple(
            AvoidableWait(attempt=span.attempt, held_s=length_s(span.held), avoidable_wait_s=wait)
            for wait, span in worst
            if wait > 0 and span.held is not None
        ),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
