"""Runs drills, and prints their table or JSON at the end."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.commands.lab.drill_progress import DrillProgress
from proj.commands.terminal.console import SafeConsole, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.interrupt import interruptible
from proj.errors import EXIT_FAILED
from proj.lab.drills.run_drills import run_drills
from proj.lab.processes.guard import Guard
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proj.lab.drills.drill import Result
    from proj.lab.drills.faults.catalogue import Fault

#: The columns with numbers, in order.
NUMBERS = ("confirmed", "raised", "done", "twice", "dead", "lost", "slots")
#: Those of a cluster's drills.
CLUSTER_NUMBERS = ("confirmed", "raised", "done", "twice", "lost", "pause", "rest")


def show_drills(
    faults: dict[str, list[Fault]],
    *,
    dispatch: str,
    keep: Path | None,
    version: str | None = None,
    nodes: int = 1,
    as_json: bool,
) -> None:
    """Run the faults, print what became of all tasks, and exit with 1 when a promise was broken.

    Raises:
        MissingProgram: this version of RabbitMQ is not there.
        ProjError: a broker did not start.
        Interrupted: Ctrl-C, SIGTERM or a hang-up came; nothing is left running.
    """
    began = time.monotonic()
    with interruptible("Interrupted; nothing is left running."), Guard() as guard:
        count = sum(map(len, faults.values()))
        with DrillProgress(faults, nodes=nodes) as progress:
            results = run_drills(
                faults, dispatch=dispatch, guard=guard, progress=progress, keep=keep, version=version, nodes=nodes
            )
    if as_json:
        echo_json([_as_json(result) for result in results], indent=2)
    else:
        SafeConsole().print(Fitted(table(results)))
    for result in results:
        for complaint in result.complaints:
            echo(f"{result.fault} on {result.queue_type}: {complaint}", err=True)
    lost = sum(len(result.verdict.lost) for result in results)
    broken = sum(bool(result.complaints) for result in results)
    skipped = f", {count - len(results)} skipped" if count > len(results) else ""
    echo(
        f"{counted(len(results), 'drill')} in {time.monotonic() - began:.0f} s: "
        f"{lost} lost, {broken} with a broken promise{skipped}.",
        err=True,
    )
    if broken:
        raise click.exceptions.Exit(EXIT_FAILED)


def table(results: Sequence[Result]) -> Table:
    """One row for each drill, narrow enough for 80 columns."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column("fault", no_wrap=True)
    drawn.add_column("queue", no_wrap=True)
    headings = NUMBERS if all(result.pause_s is None for result in results) else CLUSTER_NUMBERS
    for heading in headings:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        verdict = result.verdict
        cells = {
            "confirmed": str(verdict.confirmed),
            "raised": str(verdict.raised),
            "done": str(verdict.finished),
            "twice": f"{verdict.executed_twice}/{verdict.in_flight}",
            "dead": str(verdict.dead_lettered),
            "lost": f"[bold red]{len(verdict.lost)}[/]" if verdict.lost else "0",
            "slots": f"{result.slots}/{result.all_slots}",
            "pause": _seconds(result.pause_s),
            "rest": _seconds(result.rest_s),
        }
        drawn.add_row(
            f"[red]{result.fault}[/]" if result.complaints else result.fault,
            result.queue_type,
            *(cells[heading] for heading in headings),
        )
    return drawn


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _as_json(result: Result) -> dict[str, object]:
    known = asdict(result)
    return {
        **{key: value for key, value in known.items() if key != "verdict"},
        **known["verdict"],
        "complaints": list(result.complaints),
    }
