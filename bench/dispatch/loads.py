"""Makespan and waits under uneven loads, in each dispatch mode."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from dispatch.bench import median, median_ratio
from dispatch.consumption_table import number
from proj.commands.terminal.console import console
from proj.dots import weigh
from proj.journal.writer import JournalWriter
from proj.lab.runs.measured_run import MeasuredRun, Setup
from proj.lab.runs.workload import workload
from proj.metrics import distribution, figures
from proj.metrics.work import work_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatch.bench import Bench
    from proj.journal.attempt import Attempt

WORKLOADS = ("odd-heavy", "rare-heavy", "heavy-tailed", "bursts", "eta-mix")
MODES = ("fair", "adaptive", "round-robin")
WORKERS = (2, 4)
#: Seconds of a dot; the lightest tasks are as long as the budget of an adaptive worker. And with --quick.
DOT_S, QUICK_DOT_S = 0.05, 0.01
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Load:
    """A workload for some workers of one slot, in one dispatch mode."""

    workload: str
    workers: int
    dispatch: str
    needs: str | None = None

    @property
    def name(self) -> str:
        """The name, by which it is asked for."""
        return f"{self.workload}-{self.workers}-{self.dispatch}"

    @property
    def fair(self) -> str:
        """The name of the same in fair dispatch."""
        return f"{self.workload}-{self.workers}-fair"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run found, in seconds."""

    makespan_s: float
    #: The least makespan that a dispatcher could reach that knows when tasks come, and waits for none.
    ideal_s: float
    #: From publish, or from the ETA if that is later, to start; of tasks no heavier than the median task.
    light_wait_p99_s: float
    #: Longest time that a task was held while another worker was free.
    avoidable_wait_s: float
    redelivered: int


def loads() -> list[Load]:
    """All loads; the modes of one load follow each other."""
    return [
        Load(workload=what, workers=count, dispatch=mode) for what in WORKLOADS for count in WORKERS for mode in MODES
    ]


def names() -> list[str]:
    """The names of the rows."""
    return [load.name for load in loads()]


def measure(bench: Bench) -> None:
    """Measure all loads, and print their table."""
    title = "Makespan and waits, quorum queue, workers of one slot"
    with JournalWriter(bench.guard.folder / "loads.sqlite") as writer:
        found = bench.in_turn(title, loads(), lambda load: run(load, bench, writer))
    lines = summary(found)
    bench.results[title] = {"load": bench.loads(), "rows": lines}
    drawn = Table(title=f"{title}: {bench.rounds} rounds; {bench.load_text()}", title_justify="left")
    drawn.add_column("workload, workers, mode")
    for column in (
        "makespan s",
        "to ideal",
        "to fair",
        "light p99 wait s",
        "minus fair's",
        "avoidable s",
        "redelivered",
    ):
        drawn.add_column(column, justify="right")
    for line in lines:
        digits = {"makespan_s": 2, "to_ideal": 3, "to_fair": 3, "light_wait_p99_s": 3, "more_than_fair_s": 3}
        cells = [number(line[what], places) for what, places in digits.items()]
        drawn.add_row(line["row"], *cells, number(line["avoidable_wait_s"], 3), number(line["redelivered"]))
    console().print(drawn)


def run(load: Load, bench: Bench, writer: JournalWriter) -> Outcome:
    """Run the load once on new workers.

    Raises:
        ProjError: a worker ended, or some work did not end in time.
    """
    messages = workload(load.workload, seed=1)
    setup = Setup(
        workload=load.workload,
        messages=len(messages),
        seed=1,
        dispatch=load.dispatch,
        workers=load.workers,
        dot_seconds=QUICK_DOT_S if bench.quick else DOT_S,
    )
    name = f"{load.name}-{next(_NUMBERS)}"
    with MeasuredRun(name, setup, messages, broker=bench.broker, guard=bench.guard, writer=writer) as measured:
        measured.run(bench.results["machine"], on_progress=lambda: None)
        attempts = measured.attempts()
    workers = [worker for worker in writer.journal.workers() if worker.name.endswith(f"@{name}")]
    found = figures(attempts, workers)
    return Outcome(
        makespan_s=found.makespan_s,
        ideal_s=ideal_s(attempts, slots=load.workers),
        light_wait_p99_s=light_wait_p99_s(attempts),
        avoidable_wait_s=found.avoidable_wait.max,
        redelivered=found.redelivered,
    )


def ideal_s(attempts: Sequence[Attempt], *, slots: int) -> float:
    """The least makespan of any dispatcher, by when each task is there.

    No task can end before it is there and its work is done; and what is there only after a time r needs, from then on,
    its work divided by the slots.
    """
    work = [(released(attempt), work_s(attempt) or 0.0) for attempt in attempts if attempt.sent is not None]
    begun = min((attempt.sent for attempt in attempts if attempt.sent is not None), default=0.0)
    longest = max((there + seconds for there, seconds in work), default=0.0)
    work.sort(reverse=True)
    after = itertools.accumulate(seconds for _, seconds in work)
    shared = max((there + total / slots for (there, _), total in zip(work, after, strict=True)), default=0.0)
    return max(longest, shared) - begun


def released(attempt: Attempt) -> float:
    """When the task is there: sent, or due if that is later."""
    return max(attempt.sent or 0.0, attempt.eta or 0.0)


def light_wait_p99_s(attempts: Sequence[Attempt]) -> float:
    """The 99th percentile of the waits of tasks no heavier than the median task, whoever held them meanwhile."""
    weights = {attempt.task_id: weigh(attempt.arguments) for attempt in attempts}
    heaviest = statistics.median(weights.values())
    waits = []
    for task_id, weight in weights.items():
        own = [attempt for attempt in attempts if attempt.task_id == task_id]
        starts = [attempt.started for attempt in own if attempt.started is not None]
        if weight <= heaviest and starts:
            waits.append(max(0.0, min(starts) - max(map(released, own))))
    return distribution(waits).p99


def summary(found: dict[str, list[Outcome | None]]) -> list[dict[str, Any]]:
    """For each load the medians of its rounds, and its comparisons with fair dispatch in the same round."""
    fair = {load.name: load.fair for load in loads()}
    lines = []
    for name, rounds in found.items():
        makespans, light = column(rounds, "makespan_s"), column(rounds, "light_wait_p99_s")
        others = found.get(fair[name], [None] * len(rounds))
        more = [
            None if one is None or other is None else one - other
            for one, other in zip(light, column(others, "light_wait_p99_s"), strict=True)
        ]
        lines.append(
            {
                "row": name,
                "makespan_s": median(makespans),
                "to_ideal": median_ratio(makespans, column(rounds, "ideal_s")),
                "to_fair": median_ratio(makespans, column(others, "makespan_s")),
                "light_wait_p99_s": median(light),
                "more_than_fair_s": median(more),
                "avoidable_wait_s": max(
                    (one for one in column(rounds, "avoidable_wait_s") if one is not None), default=None
                ),
                "redelivered": median(column(rounds, "redelivered")),
                "missing": sum(outcome is None for outcome in rounds),
                "rounds": [outcome and asdict(outcome) for outcome in rounds],
            }
        )
    return lines


def column(rounds: Sequence[Outcome | None], what: str) -> list[float | None]:
    """One figure of all rounds."""
    return [None if outcome is None else getattr(outcome, what) for outcome in rounds]
