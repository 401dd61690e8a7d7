"""The trend of what a process holds: how memory, descriptors and threads grow, in units a minute."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Seconds of a process's life that do not count: it imports modules and fills its caches.
WARM_UP_S = 60.0
#: Measures of a process that say something of its trend.
FEWEST = 5


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one process held at a time (seconds since the epoch)."""

    role: str
    pid: int
    time: float
    #: Bytes of memory that only this process has.
    memory: int
    descriptors: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How the processes of one role grew; None where no process lived long enough."""

    role: str
    processes: int
    #: Bytes that a process held at most, and in the median.
    most_memory: int
    usual_memory: int
    #: What it grew by a minute: bytes, descriptors, threads.
    memory: float | None
    descriptors: float | None
    threads: float | None


def trends(measures: Sequence[Measure], *, warm_up_s: float = WARM_UP_S) -> list[Trend]:
    """The trend of each role, in the order in which they come."""
    found = []
    for role in dict.fromkeys(measure.role for measure in measures):
        mine = [measure for measure in measures if measure.role == role]
        lives = [list(life) for life in _lives(mine, warm_up_s)]
        found.append(
            Trend(
                role=role,
                processes=len({measure.pid for measure in mine}),
                most_memory=max(measure.memory for measure in mine),
                usual_memory=int(median(measure.memory for measure in mine)),
                memory=_slope(lives, lambda measure: measure.memory),
                descriptors=_slope(lives, lambda measure: measure.descriptors),
                threads=_slope(lives, lambda measure: measure.threads),
            )
        )
    return found


def _lives(measures: Sequence[Measure], warm_up_s: float) -> Iterable[list[Measure]]:
    """The measures of each process after its warm-up, where they are enough."""
    for pid in dict.fromkeys(measure.pid for measure in measures):
        life = [measure for measure in measures if measure.pid == pid]
        warm = [measure for measure in life if measure.time >= life[0].time + warm_up_s]
        if len(warm) >= FEWEST:
            yield warm


def _slope(lives: Sequence[Sequence[Measure]], value: Callable[[Measure], int]) -> float | None:
    """Least squares with one slope, and an intercept for each process, in units a minute.

    Source: the within estimator of panel data, Σ (t - t̄)(v - v̄) / Σ (t - t̄)².
    """
    together = spread = 0.0
    for life in lives:
        middle_s, usual = fmean(each.time for each in life), fmean(value(each) for each in life)
        together += sum((each.time - middle_s) * (value(each) - usual) for each in life)
        spread += sum((each.time - middle_s) ** 2 for each in life)
    return 60 * together / spread if spread else None
