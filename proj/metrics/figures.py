"""Figures: everything that can be said of some attempts, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from math import fsum
from typing import TYPE_CHECKING

from proj.metrics.distribution import Distribution, distribution
from proj.metrics.fairness import jain
from proj.metrics.record import Record
from proj.metrics.work import ideal_s, makespan_s, work_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class WorkerFigures:
    """What one worker did."""

    name: str
    #: As it says; else the most that it was seen to run at once, and at least one.
    slots: int
    #: Attempts that it started.
    tasks: int
    #: Seconds of all its slots inside attempts, those that failed or were lost included.
    busy_s: float
    #: busy_s / (slots · seconds that it was there): 1 is never idle.
    utilisation: float
    #: Seconds with a free slot while work of its queues waited in the broker or was held by another worker.
    idle_while_backlog_s: float


@dataclass(frozen=True, kw_only=True)
class Offender:
    """An attempt that waited though it need not have."""

    attempt: Attempt
    #: Up to its start, or to the end of the record.
    held_s: float
    avoidable_wait_s: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of some attempts; what each is made of stands at the function that computes it."""

    #: Task ids; attempts of these; tasks with an attempt that succeeded; tasks with none, but one that failed.
    tasks: int
    attempts: int
    succeeded: int
    failed: int
    #: Attempts that followed a delivery which was lost or returned.
    redelivered: int
    makespan_s: float
    #: On the most slots that were there at once.
    ideal_s: float
    #: makespan_s / ideal_s: 1 is as good as any dispatcher can be; 0 when there was no work.
    ratio: float
    #: Tasks that succeeded or failed, over makespan_s.
    throughput_per_s: float
    #: From the publish, or the end of the attempt before, to the receipt, less what was before the eta; of all with
    #: a publish that was heard of. Two clocks: the producer's and the worker's.
    broker_wait: Distribution
    #: From the receipt to the start, less what was before the eta; of all that a worker had. The worker's clock.
    held_wait: Distribution
    #: Before the eta, of those with one. Until then the producer's clock.
    eta_wait: Distribution
    #: Of those that ended by themselves.
    run_time: Distribution
    #: Of the same attempts as held_wait.
    avoidable_wait: Distribution
    avoidable_wait_total_s: float
    held_wait_total_s: float
    #: Jain's index over the busy seconds, and over the started attempts, of every slot. A worker's slots share alike.
    jain_busy: float
    jain_counts: float
    #: By name.
    workers: tuple[WorkerFigures, ...]
    #: The longest avoidable waits, longest first; none of 0.
    offenders: tuple[Offender, ...]


def figures(
    attempts: Iterable[Attempt], workers: Iterable[Worker], *, offenders: int = 10, until: float | None = None
) -> Figures:
    """All figures of the attempts, with as many worst `offenders`.

    `workers` are those that were there: one that got nothing counts if it serves a queue of the attempts. Workers
    that had an attempt and are not among them are inferred. The time is O(n log n) in the attempts, times the
    number of different sets of queues that workers serve.

    With `until`, which is now, whatever is open counts up to it: the makespan and the ideal are those so far.
    """
    return figures_of(Record.of(tuple(attempts), workers, until=until), offenders=offenders)


def figures_of(record: Record, *, offenders: int = 10) -> Figures:
    """The same, when the record is there already."""
    found, avoidable, floor = record.spans, record.avoidable, record.floor
    attempts = record.attempts
    by_worker = tuple(
        WorkerFigures(
            name=place.name,
            slots=place.slots,
            tasks=len(place.running),
            busy_s=place.busy_s,
            utilisation=_share(place.busy_s, place.slots * place.there_s),
            idle_while_backlog_s=record.idle[place.name],
        )
        for place in floor.places.values()
    )
    succeeded = {attempt.task_id for attempt in attempts if attempt.succeeded}
    failed = {attempt.task_id for attempt in attempts if attempt.state == "failed"} - succeeded
    makespan = makespan_s(attempts, until=record.until)
    ideal = ideal_s(attempts, slots=max(1, floor.slots), until=record.until)
    held = [_seconds(span.held) for span in found if span.held is not None]
    worst = nlargest(offenders, zip(avoidable, found, strict=True), key=lambda pair: pair[0])
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
        broker_wait=distribution(_seconds(span.waiting) for span in found if span.waiting is not None),
        held_wait=distribution(held),
        eta_wait=distribution(span.eta_wait_s for span in found if span.eta_wait_s is not None),
        run_time=distribution(work for work in map(work_s, attempts) if work is not None),
        avoidable_wait=distribution(wait for wait, span in zip(avoidable, found, strict=True) if span.held is not None),
        avoidable_wait_total_s=fsum(avoidable),
        held_wait_total_s=fsum(held),
        jain_busy=jain(worker.busy_s / worker.slots for worker in by_worker for _ in range(worker.slots)),
        jain_counts=jain(worker.tasks / worker.slots for worker in by_worker for _ in range(worker.slots)),
        workers=by_worker,
        offenders=tuple(
            Offender(attempt=span.attempt, held_s=_seconds(span.held), avoidable_wait_s=wait)
            for wait, span in worst
            if wait > 0 and span.held is not None
        ),
    )


def _seconds(interval: Interval) -> float:
    return interval[1] - interval[0]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
