"""Pipelines: what each stage did and can do, which one is the bottleneck, and how many slots would balance it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, fsum
from typing import TYPE_CHECKING

from proj.metrics.work import ideal_s, makespan_s, work_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.journal.attempt import Attempt

#: Capacities that differ by a smaller share are taken to be alike: what publishing and scheduling add to the work of
#: a stage, and what differs between two runs.
TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """What was measured of one stage."""

    name: str
    slots: int
    #: Messages that it did.
    done: int
    #: Mean seconds of its work for one message of its own, and for one of the whole pipeline.
    service_s: float
    demand_s: float
    #: Messages of the pipeline a second: what it can do when it is never idle, and what it did in the whole run.
    capacity_per_s: float
    throughput_per_s: float
    busy_s: float
    #: The share of the whole run for which its slots were busy.
    utilisation: float
    #: Slots with which it would do what the other stages can; see `pipeline_figures`.
    balanced_slots: int


@dataclass(frozen=True, kw_only=True)
class PipelineFigures:
    """What was measured of a pipeline, its stages in their order."""

    stages: tuple[StageFigures, ...]
    #: Names of the stages with the least capacity: all of them, when they keep pace with each other.
    bottlenecks: tuple[str, ...]
    makespan_s: float
    ideal_s: float
    #: Messages that left the last stage, a second of the makespan; and the least capacity, which it cannot exceed.
    throughput_per_s: float
    capacity_per_s: float

    @property
    def is_balanced(self) -> bool:
        """Whether no stage waits for another one in the long run."""
        return len(self.bottlenecks) == len(self.stages)


def pipeline_figures(attempts: Mapping[str, Sequence[Attempt]], *, slots: Mapping[str, int]) -> PipelineFigures:
    """The figures of a pipeline.

    With S the mean service time of a stage, V the messages it gets for each one that enters the pipeline, and c its
    slots, its demand is D = V S and its capacity c / D. The bottleneck is the stage with the least; no pipeline does
    more than that. To balance, the bottleneck needs as many slots as keep up with the slowest of the others, and each
    other one as many as keep up with the bottleneck: the least c with c / D ≥ that capacity, so ceil(D x capacity),
    where what is within `TOLERANCE` counts as reached.

    Work that was done again is part of the demand, since it takes time as well.

    Source: the utilisation law and bottleneck analysis of P. J. Denning and J. P. Buzen, The Operational Analysis of
    Queueing Network Models (1978).

    Args:
        attempts: of each stage by its name, in the order of the stages.
        slots: of each stage by its name: slots of all its workers.
    """
    everything = [attempt for own in attempts.values() for attempt in own]
    makespan = makespan_s(everything)
    entered = len({attempt.task_id for attempt in next(iter(attempts.values()), ())})
    measured = [_measured(name, own, slots[name], entered, makespan) for name, own in attempts.items()]
    working = [stage for stage in measured if stage.demand_s]
    least = min((stage.capacity_per_s for stage in working), default=0.0)
    slowest = {stage.name for stage in working if stage.capacity_per_s <= least * (1 + TOLERANCE)}
    others = min((stage.capacity_per_s for stage in working if stage.name not in slowest), default=None)
    return PipelineFigures(
        stages=tuple(
            measured
            if others is None
            else (
                replace(stage, balanced_slots=_slots_for(others if stage.name in slowest else least, stage.demand_s))
                for stage in measured
            )
        ),
        bottlenecks=tuple(stage.name for stage in measured if stage.name in slowest),
        makespan_s=makespan,
        ideal_s=pipeline_ideal_s(attempts, slots=slots),
        throughput_per_s=measured[-1].throughput_per_s if measured else 0.0,
        capacity_per_s=least,
    )


def pipeline_ideal_s(attempts: Mapping[str, Sequence[Attempt]], *, slots: Mapping[str, int]) -> float:
    """The least makespan that the stages could reach with these slots, all messages there at the beginning.

    No stage can begin before the quickest message has been through all stages before it, nor end before the ideal of
    its own work, and the last one to leave it has all later stages before it: so it is the greatest of these sums over
    the stages.
    """
    quickest = {name: min(map(_work_s, own), default=0.0) for name, own in attempts.items()}
    return max(
        (
            ideal_s(own, slots=slots[name]) + fsum(seconds for other, seconds in quickest.items() if other != name)
            for name, own in attempts.items()
        ),
        default=0.0,
    )


def _measured(name: str, attempts: Sequence[Attempt], slots: int, entered: int, makespan: float) -> StageFigures:
    works = [seconds for seconds in map(work_s, attempts) if seconds is not None]
    busy = fsum(works)
    demand = busy / entered if entered else 0.0
    done = len({attempt.task_id for attempt in attempts if attempt.succeeded})
    return StageFigures(
        name=name,
        slots=slots,
        done=done,
        service_s=busy / len(works) if works else 0.0,
        demand_s=demand,
        capacity_per_s=slots / demand if demand else 0.0,
        throughput_per_s=done / makespan if makespan else 0.0,
        busy_s=busy,
        utilisation=busy / (slots * makespan) if makespan else 0.0,
        balanced_slots=slots,
    )


def _slots_for(rate_per_s: float, demand_s: float) -> int:
    """The fewest slots that do so many messages a second."""
    return max(1, ceil(rate_per_s * demand_s / (1 + TOLERANCE)))


def _work_s(attempt: Attempt) -> float:
    return work_s(attempt) or 0.0
