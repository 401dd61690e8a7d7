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


def show_drills(
    faults: dict[str, list[Fault]], *, dispatch: str, keep: Path | None, version: str | None = None, as_json: bool
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
        with DrillProgress(faults) as progress:
            results = run_drills(faults, dispatch=dispatch, guard=guard, progress=progress, keep=keep, version=version)
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
    for heading in NUMBERS:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        verdict = result.verdict
        drawn.add_row(
            f"[red]{result.fault}[/]" if result.complaints else result.fault,
            result.queue_type,
            str(verdict.confirmed),
            str(verdict.raised),
            str(verdict.finished),
            f"{verdict.executed_twice}/{verdict.in_flight}",
            str(verdict.dead_lettered),
            f"[bold red]{len(verdict.lost)}[/]" if verdict.lost else "0",
            f"{result.slots}/{result.all_slots}",
        )
    return drawn


def _as_json(result: Result) -> dict[str, object]:
    known = asdict(result)
    return {
        **{key: value for key, value in known.items() if key != "verdict"},
        **known["verdict"],
        "complaints": list(result.complaints),
    }
