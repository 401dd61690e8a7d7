"""Runs a soak, and prints its tables or JSON at the end."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.commands.terminal.clock import format_duration
from proj.commands.terminal.console import SafeConsole, cell, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.interrupt import interruptible
from proj.errors import EXIT_FAILED
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.lab.soak.soak import Soak
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.lab.soak.soak import Outcome, Stroke
    from proj.lab.soak.trend import Trend

_MIB, _KIB = 1024 * 1024, 1024


class _Told:
    """Prints each fault to stderr."""

    def struck(self, stroke: Stroke, finished: int) -> None:
        """A fault has struck, and so many tasks have finished."""
        echo(
            cell(
                f"{format_duration(stroke.at_s):>8}  {stroke.fault:20}{stroke.late or stroke.did} ({finished:,} done)"
            ).plain,
            err=True,
        )


def show_soak(
    *, seconds: float, every_s: float, seed: int, queue_type: str, dispatch: str, version: str | None, as_json: bool
) -> None:
    """Run it, print what became of all tasks and how the processes grew, and exit with 1 when a promise was broken.

    Raises:
        MissingProgram: this version of RabbitMQ, or Flower, is not there.
        ProjError: a process did not start.
        Interrupted: Ctrl-C, SIGTERM or a hang-up came; nothing is left running.
    """
    with interruptible("Interrupted; nothing is left running."), Guard() as guard, Broker(guard, version=version) as on:
        echo(
            f"A soak of {format_duration(seconds)} with seed {seed} on RabbitMQ {on.version}, a fault every "
            f"{every_s:g} s …",
            err=True,
        )
        outcome = Soak(
            broker=on,
            guard=guard,
            queue_type=queue_type,
            dispatch=dispatch,
            seconds=seconds,
            every_s=every_s,
            seed=seed,
            cancel=threading.Event(),
        ).run(_Told())
    if as_json:
        echo_json({**asdict(outcome), "complaints": list(outcome.complaints)}, indent=2)
    else:
        console = SafeConsole()
        console.print(Fitted(tasks_table(outcome)))
        console.print(Fitted(trends_table(outcome.trends)))
    if outcome.error:
        echo(cell(f"The first publish that raised an error: {outcome.error}").plain, err=True)
    for complaint in outcome.complaints:
        echo(complaint, err=True)
    ended = f"{counted(len(outcome.strokes), 'fault')} in {outcome.seconds:.0f} s"
    rate = outcome.finished / outcome.seconds
    broken = counted(len(outcome.complaints), "broken promise")
    echo(f"{ended}, {rate:.0f} tasks/s: {len(outcome.lost)} lost, {broken}.", err=True)
    if outcome.complaints:
        raise click.exceptions.Exit(EXIT_FAILED)


def tasks_table(outcome: Outcome) -> Table:
    """What became of the tasks, in one row."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    row = {
        "queue": outcome.queue_type,
        "confirmed": f"{outcome.confirmed:,}",
        "raised": f"{outcome.raised:,}",
        "done": f"{outcome.finished:,}",
        "twice": f"{outcome.executed_twice:,}/{outcome.in_flight:,}",
        "dead": str(len(outcome.dead)),
        "lost": f"[bold red]{len(outcome.lost)}[/]" if outcome.lost else "0",
    }
    for heading in row:
        drawn.add_column(heading, justify="left" if heading == "queue" else "right", no_wrap=True)
    drawn.add_row(*row.values())
    return drawn


def trends_table(trends: Sequence[Trend]) -> Table:
    """One row for each kind of process."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column("process", no_wrap=True)
    for heading in ("processes", "MiB", "most", "KiB/min", "descriptors/min", "threads/min"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for trend in trends:
        drawn.add_row(
            trend.role,
            str(trend.processes),
            f"{trend.usual_memory / _MIB:.0f}",
            f"{trend.most_memory / _MIB:.0f}",
            _slope(trend.memory, _KIB),
            _slope(trend.descriptors),
            _slope(trend.threads),
        )
    return drawn


def _slope(slope: float | None, unit: int = 1) -> str:
    return "-" if slope is None else f"{slope / unit:+.2f}"
