"""The comparison of runs as tables and sentences, or as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from proj.commands.terminal.console import SafeConsole, cell, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.reading import say_reading
from proj.errors import ProjError
from proj.journal.reader import open_journal
from proj.plural import counted
from proj.report.comparison import FIGURES, compare, figures_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proj.journal.records import Run
    from proj.report.comparison import Comparison, RunFigures
    from proj.report.significance import Summary

#: Columns of output that does not go to a terminal; enough for three groups.
FILE_WIDTH = 160


def show_comparison(paths: Sequence[Path], *, as_json: bool) -> None:
    """Print the comparison of all runs in the journals that have ended.

    Raises:
        NoJournal: a file does not exist.
        UnreadableJournal: a file is not a journal.
        ProjError: no run has ended.
    """
    comparisons = compare(_measured(paths))
    if as_json:
        echo_json([_as_json(comparison) for comparison in comparisons], indent=2)
        return
    console = SafeConsole()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    for comparison in comparisons:
        if comparison.condition:
            console.print(cell(comparison.condition, style="bold"), soft_wrap=True)
        console.print(Fitted(_table(comparison)))
        for verdict in comparison.verdicts:
            echo(verdict)


def _measured(paths: Sequence[Path]) -> list[RunFigures]:
    ended: list[tuple[Path, Run]] = []
    for path in dict.fromkeys(paths):
        say_reading(path)
        with open_journal(path) as journal:
            runs = journal.runs()
        ended += [(path, run) for run in runs if run.ended is not None]
        for run in runs:
            if run.ended is None:
                echo(f"The run {run.name} in {path} has not ended and is left out.", err=True)
    if not ended:
        raise ProjError(
            f"No run in {', '.join(map(str, paths))} has ended. Measure runs with: celery -A proj lab run -o FILE"
        )
    files_with_mode = Counter(dispatch for _, dispatch in {(path, run.dispatch) for path, run in ended})
    measured = []
    for path, run in ended:
        group = run.dispatch or "not known"
        if files_with_mode[run.dispatch] > 1:
            group = f"{group} ({path})"
        with open_journal(path) as journal:
            measured.append(figures_of_run(run, journal.attempts(run.name), journal.workers(), group=group))
    return measured


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("median [95% interval]")
    for group, summaries in comparison.groups.items():
        table.add_column(cell(group, counted(next(iter(summaries.values())).count, "run")), justify="right")
    pairs = list(dict.fromkeys((one.first, one.second) for one in comparison.differences))
    for first, second in pairs:
        table.add_column(
            cell(*(("p", "* significant") if len(pairs) == 1 else ("p", first, f"/ {second}"))), justify="right"
        )
    p_values = {(one.first, one.second, one.figure): one for one in comparison.differences}
    for figure in FIGURES:
        tests = [p_values.get((*pair, figure.key)) for pair in pairs]
        table.add_row(
            f"{figure.title}, {figure.unit}" if figure.unit else figure.title,
            *(_cell(summaries[figure.key]) for summaries in comparison.groups.values()),
            *("" if test is None else f"{test.p_holm:.2g}{' *' if test.real else '  '}" for test in tests),
        )
    return table


def _cell(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return f"{summary.median:.3f}"
    return f"{summary.median:.3f} [{summary.low:.3f}, {summary.high:.3f}]"


def _as_json(comparison: Comparison) -> dict[str, object]:
    return {
        "condition": comparison.condition,
        "groups": {
            group: {key: asdict(summary) for key, summary in summaries.items()}
            for group, summaries in comparison.groups.items()
        },
        "differences": [{**asdict(one), "real": one.real} for one in comparison.differences],
        "verdicts": list(comparison.verdicts),
    }
