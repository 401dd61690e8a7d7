"""The figures: pure functions of attempts, each with its definition and source in its docstring."""

from proj.metrics.distribution import Distribution, distribution
from proj.metrics.fairness import jain
from proj.metrics.figures import Figures, Offender, WorkerFigures, figures
from proj.metrics.lanes import Lane, lanes
from proj.metrics.waits import avoidable_waits, longest_wait_s
from proj.metrics.work import busy_s_by_worker, ideal_s, makespan_s, tasks_by_worker

__all__ = [
    "Distribution",
    "Figures",
    "Lane",
    "Offender",
    "WorkerFigures",
    "avoidable_waits",
    "busy_s_by_worker",
    "distribution",
    "figures",
    "ideal_s",
    "jain",
    "lanes",
    "longest_wait_s",
    "makespan_s",
    "tasks_by_worker",
]
