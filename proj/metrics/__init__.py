"""Figures: pure functions of attempts; each docstring has the definition, the unit and the source."""

from proj.metrics.distribution import Distribution, distribution
from proj.metrics.fairness import jain
from proj.metrics.figures import AvoidableWait, Figures, WorkerFigures, figures, figures_of
from proj.metrics.hoards import Hoard, hoards
from proj.metrics.lanes import Lane, lanes, lanes_of
from proj.metrics.record import Record
from proj.metrics.stages import PipelineFigures, StageFigures, pipeline_figures
from proj.metrics.waits import avoidable_waits, longest_wait_s
from proj.metrics.work import busy_s_by_worker, ideal_s, makespan_s, tasks_by_worker

__all__ = [
    "AvoidableWait",
    "Distribution",
    "Figures",
    "Hoard",
    "Lane",
    "PipelineFigures",
    "Record",
    "StageFigures",
    "WorkerFigures",
    "avoidable_waits",
    "busy_s_by_worker",
    "distribution",
    "figures",
    "figures_of",
    "hoards",
    "ideal_s",
    "jain",
    "lanes",
    "lanes_of",
    "longest_wait_s",
    "makespan_s",
    "pipeline_figures",
    "tasks_by_worker",
]
