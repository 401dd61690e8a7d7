"""Tables of a report: all cells are text, so that every form of the report shows the same."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proj.journal.records import Run, Worker
    from proj.metrics import AvoidableWait, Distribution, Figures

#: The most characters of a task's arguments that a report shows.
LABEL_LENGTH = 40
#: The most avoidable waits that are listed.
MOST_LISTED = 20
#: Seconds: a shorter avoidable wait is not listed, because transport to a worker takes as long.
LEAST_LISTED_S = 0.01
#: Seconds: `seconds` shows a shorter duration as 0, and one that is shorter than the second limit in milliseconds.
_SHOWN_AS_ZERO_S = 0.0005
_SHOWN_IN_MS_S = 0.0995
#: One text in quotes, without further quotes of the same kind.
_ONE_TEXT = re.compile(r"""(['"])((?:(?!\1).)*)\1""", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: The number of columns, from the left, that hold words and are aligned left; the others are aligned right.
    words: int = 1


def seconds(value: float) -> str:
    """A duration with three significant digits: '20.0 s', '86 ms', '0 s'. `seconds` in text.js does the same."""
    if abs(value) < _SHOWN_AS_ZERO_S:
        return "0 s"
    if abs(value) < _SHOWN_IN_MS_S:
        return f"{value * 1000:.0f} ms"
    # 2 below 10 s, 1 below 100 s, else 0, each after rounding.
    digits = sum(abs(value) < limit_s for limit_s in (9.995, 99.95))
    return f"{value:,.{digits}f} s"


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent: '98.7 %'."""
    return f"{share * 100:.1f} %"


def label(arguments: str) -> str:
    """Printed arguments, without quotes and brackets if they are one text, cut to `LABEL_LENGTH` characters."""
    text = arguments.strip()
    inner = text[1:-1].rstrip(",") if text.startswith(("(", "[")) and text.endswith((")", "]")) else text
    one_text = _ONE_TEXT.fullmatch(inner)
    if one_text is not None:
        inner = one_text[2]
    return inner if len(inner) <= LABEL_LENGTH else inner[: LABEL_LENGTH - 1] + "…"


def utilisation(figures: Figures) -> float:
    """Seconds of work / (slots · makespan) over all workers, from 0 to 1; 0.0 if nothing has finished."""
    slots = sum(worker.slots for worker in figures.workers)
    busy_s = sum(worker.busy_s for worker in figures.workers)
    return busy_s / (slots * figures.makespan_s) if slots and figures.makespan_s else 0.0


#: The rows of the table of figures.
_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("tasks", lambda f: f"{f.tasks:,}"),
    ("attempts", lambda f: f"{f.attempts:,}"),
    ("succeeded", lambda f: f"{f.succeeded:,}"),
    ("failed", lambda f: f"{f.failed:,}"),
    ("redelivered", lambda f: f"{f.redelivered:,}"),
    ("makespan", lambda f: seconds(f.makespan_s)),
    ("ideal", lambda f: seconds(f.ideal_s)),
    ("makespan / ideal", lambda f: f"{f.ratio:.2f}"),
    ("throughput", lambda f: f"{f.throughput_per_s:,.2f} /s"),
    ("utilisation of the slots", lambda f: percent(utilisation(f))),
    ("Jain's index, busy time", lambda f: f"{f.jain_busy:.3f}"),
    ("Jain's index, counts", lambda f: f"{f.jain_counts:.3f}"),
    ("held wait, all", lambda f: seconds(f.held_wait_total_s)),
    ("avoidable wait, all", lambda f: seconds(f.avoidable_wait_total_s)),
    ("avoidable wait, 95th percentile", lambda f: seconds(f.avoidable_wait.p95)),
    ("avoidable wait, longest", lambda f: seconds(f.avoidable_wait.max)),
    ("idle while work waited", lambda f: seconds(sum(worker.idle_while_backlog_s for worker in f.workers))),
)


def figures_table(named: Mapping[str, Figures], dispatch: Sequence[str]) -> Table:
    """The figures, with one column for each run."""
    rows = [("dispatch", *dispatch)]
    rows += [(name, *(show(figures) for figures in named.values())) for name, show in _ROWS]
    return Table(caption="Figures", head=("", *named), rows=tuple(rows))


def waits_table(named: Mapping[str, Figures]) -> Table:
    """The distributions of waits, with one row for each run and kind of wait."""
    rows = []
    for name, figures in named.items():
        for kind, waits in (
            ("in the broker", figures.broker_wait),
            ("held by a worker", figures.held_wait),
            ("avoidable", figures.avoidable_wait),
            ("for its ETA", figures.eta_wait),
            ("run time", figures.run_time),
        ):
            if waits.count and (waits.max or kind != "for its ETA"):
                rows.append((name, kind, *_distribution(waits)))
    head = ("run", "seconds", "count", "mean", "median", "95th pct.", "99th pct.", "longest")
    return Table(caption="Waits and run times", head=head, rows=tuple(rows), words=2)


def workers_table(figures: Figures, workers: Mapping[str, Worker]) -> Table:
    """The figures of the workers of a run, with one row for each worker; `workers` has what they told, by name.

    Where a worker is in adaptive dispatch there are three columns more.
    """
    rows: list[tuple[str, ...]] = [
        (
            worker.name,
            f"{worker.slots}",
            f"{worker.tasks:,}",
            seconds(worker.busy_s),
            percent(worker.utilisation),
            seconds(worker.idle_while_backlog_s),
        )
        for worker in figures.workers
    ]
    head: tuple[str, ...] = ("worker", "slots", "tasks", "busy", "utilisation", "idle while work waited")
    told = [workers.get(worker.name) for worker in figures.workers]
    if any(one is not None and one.given_back is not None for one in told):
        head = (*head, "largest window", "most in advance", "given back")
        rows = [row + _in_advance(one) for row, one in zip(rows, told, strict=True)]
    return Table(caption="Workers", head=head, rows=tuple(rows))


def worst_waits(longest: Mapping[str, Sequence[AvoidableWait]]) -> list[tuple[str, AvoidableWait]]:
    """The longest avoidable waits of all runs, each with the name of its run."""
    return sorted(
        ((run, one) for run, of_run in longest.items() for one in of_run if one.avoidable_wait_s >= LEAST_LISTED_S),
        key=lambda pair: -pair[1].avoidable_wait_s,
    )[:MOST_LISTED]


def avoidable_waits_table(worst: Sequence[tuple[str, AvoidableWait]], *, arguments: bool) -> Table:
    """The waits, with one row for each attempt."""
    rows = tuple(
        (
            run,
            (label(one.attempt.arguments) if arguments else "") or (one.attempt.name or "")[:LABEL_LENGTH],
            one.attempt.task_id[:8],
            one.attempt.worker or "not known",
            seconds(one.held_s),
            seconds(one.avoidable_wait_s),
        )
        for run, one in worst
    )
    return Table(
        caption="Longest avoidable waits",
        head=("run", "task", "id", "held by", "held", "avoidable"),
        rows=rows,
        words=4,
    )


def depths_table(depths: Sequence[Mapping[str, Any]]) -> Table:
    """The peaks of the depths that are drawn, with one row for each queue."""
    rows = []
    for depth in depths:
        ready, unacknowledged = depth["ready"], depth["unacknowledged"]
        most = max(ready["values"], default=0)
        when = ready["times"][ready["values"].index(most)] if ready["values"] else 0.0
        held = "not known" if unacknowledged is None else f"{max(unacknowledged['values'], default=0):,}"
        rows.append((depth["queue"], f"{most:,}", seconds(when), held))
    head = ("queue", "most ready", "first at", "most unacknowledged")
    return Table(caption="Depth of the queues", head=head, rows=tuple(rows))


def facts_table(runs: Sequence[Run]) -> Table:
    """The settings and the machine of the runs, with one column for each run."""
    facts = [{**run.settings, **run.machine} for run in runs]
    names = list(dict.fromkeys(name for of_run in facts for name in of_run))
    rows = tuple((name.replace("_", " "), *(_fact(of_run.get(name)) for of_run in facts)) for name in names)
    return Table(caption="How it was made", head=("", *(run.name for run in runs)), rows=rows, words=1 + len(runs))


def _in_advance(worker: Worker | None) -> tuple[str, ...]:
    """What a worker in adaptive dispatch told of itself; empty for one in another mode."""
    told = (None,) * 3 if worker is None else (worker.window, worker.held, worker.given_back)
    return tuple("" if count is None else f"{count:,}" for count in told)


def _distribution(waits: Distribution) -> tuple[str, ...]:
    return f"{waits.count:,}", *(seconds(value) for value in (waits.mean, waits.p50, waits.p95, waits.p99, waits.max))


def _fact(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
