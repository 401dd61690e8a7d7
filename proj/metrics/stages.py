"""Stages of a pipeline: throughput and capacity of each, the bottleneck, and the slots that would balance it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, fsum
from typing import TYPE_CHECKING

from proj.metrics.work import ideal_s, makespan_s, work_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.journal.attempt import Attempt

#: Capacities that differ by a smaller share count as equal. Publishing and scheduling add about as much to the work of
#: a stage, and two runs differ by about as much.
TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """The figures of one stage."""

    name: str
    slots: int
    #: Messages whose task succeeded in this stage.
    done: int
    #: Mean seconds of work for one message that enters this stage.
    service_s: float
    #: Mean seconds of work in this stage for one message that enters the pipeline.
    demand_s: float
    #: Messages of the pipeline a second that this stage can do if it is never idle: slots / demand_s.
    capacity_per_s: float
    #: Messages a second that it did: done / makespan of the pipeline.
    throughput_per_s: float
    #: Seconds of work, summed over its slots.
    busy_s: float
    #: busy_s / (slots · makespan of the pipeline), from 0 to 1.
    utilisation: float
    #: The number of slots with which it would keep pace with the other stages; see `pipeline_figures`.
    balanced_slots: int


@dataclass(frozen=True, kw_only=True)
class PipelineFigures:
    """The figures of a pipeline, with its stages in their order."""

    stages: tuple[StageFigures, ...]
    #: Names of the stages with the least capacity; all stages, if they keep pace with each other.
    bottlenecks: tuple[str, ...]
    #: Seconds from the first publish to the last finish of any stage.
    makespan_s: float
    #: Seconds, see `pipeline_ideal_s`.
    ideal_s: float
    #: Messages that left the last stage, divided by makespan_s.
    throughput_per_s: float
    #: The least capacity of a stage, which the throughput cannot exceed.
    capacity_per_s: float

    @property
    def is_balanced(self) -> bool:
        """Whether all stages keep pace with each other, so that none waits for another in the long run."""
        return len(self.bottlenecks) == len(self.stages)


def pipeline_figures(attempts: Mapping[str, Sequence[Attempt]], *, slots: Mapping[str, int]) -> PipelineFigures:
    """The figures of a pipeline.

    S is the mean service time of a stage, V the number of messages that it gets for each one that enters the pipeline,
    c its slots. Its demand is D = V · S, its capacity c / D. The stage with the least capacity is the bottleneck; no
    pipeline does more than that. In balance, the bottleneck has just enough slots to keep pace with the slowest of the
    other stages, and each other stage just enough to keep pace with the bottleneck: ceil(D · capacity) slots, where a
    capacity within `TOLERANCE` counts as reached.

    Work that was repeated is part of the demand, because it takes time as well.

    Source: the utilisation law and bottleneck analysis of P. J. Denning and J. P. Buzen, The Operational Analysis of
    Queueing Network Models (1978).

    Args:
        attempts: the attempts of each stage by its name, in the order of the stages.
        slots: the slots of all workers of each stage, by its name.
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
    """The least makespan in seconds that the stages could reach with these slots, if all messages are there at first.

    A stage cannot begin before its first message has passed all earlier stages. It then needs at least the ideal of its
    own work (`ideal_s`), and its last message still has to pass all later stages. The result is the greatest of these
    sums over all stages, with the quickest message as the first and the last.
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
    """The fewest slots, at least 1, that do `rate_per_s` messages a second within `TOLERANCE`."""
    return max(1, ceil(rate_per_s * demand_s / (1 + TOLERANCE)))


def _work_s(attempt: Attempt) -> float:
    return work_s(attempt) or 0.0
