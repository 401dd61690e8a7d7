"""The tables of the demo: one while the work runs, and one with the figures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table

from proj.commands.terminal.console import cell
from proj.commands.terminal.fitted import Fitted
from proj.dots import DOT, weigh
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt
    from proj.lab.runs.mode_race import ModeRace, Outcome, RacePlan


def scoreboard(race: ModeRace, *, width: int) -> Table:
    """What each worker works on, holds and has done, with a section for each mode; 24 lines have room for three."""
    # The others have 38 columns and a space each.
    work_width = max(8, min(32, width - 42))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("worker", width=16)
    table.add_column("works on", width=work_width, no_wrap=True)
    table.add_column("holds", justify="right", width=7)
    table.add_column("done", justify="right", width=7)
    table.add_column("busy", justify="right", width=8)
    for mode in race.plan.modes:
        _add_mode(table, race, mode)
    return table


def results_table(plan: RacePlan, outcomes: Sequence[Outcome]) -> Group:
    """One row for each mode, with the figures of its workers."""
    # For two workers of each mode it fits into 80 columns.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\ndispatch")
    for heading in (
        "tasks\na worker",
        "busy s\na worker",
        "\nmakespan",
        "\nideal",
        "\nratio",
        "longest\nlight wait",
        "longest\nwait",
    ):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        table.add_row(
            outcome.mode,
            "/".join(str(count) for count in outcome.tasks.values()),
            "/".join(f"{busy:.1f}" for busy in outcome.busy_s.values()),
            f"{outcome.makespan_s:.2f} s",
            f"{outcome.ideal_s:.2f} s",
            f"{outcome.ratio:.2f}",
            f"{outcome.longest_light_wait_s:.2f} s",
            f"{outcome.longest_wait_s:.2f} s",
        )
    weights = sorted({weigh(message) for message in plan.messages}, reverse=True)
    heavy, light = counted(weights[0], "dot"), counted(weights[-1], "dot")
    note = (
        f"{counted(len(plan.messages), 'message')} for each mode, odd ones of {heavy}, even ones of {light}; "
        f"{plan.dot_seconds:g} s for each dot; {counted(plan.workers, 'worker')} of one slot for each mode. "
        "Makespan: from the first publish to the last finish. Ideal: all work / slots, but at least the longest task."
    )
    return Group(cell(), Fitted(table), cell(), cell(note, style="dim"))


def _add_mode(table: Table, race: ModeRace, mode: str) -> None:
    """Add a row for each worker of the mode, and one for all of them."""
    attempts = race.attempts(mode)
    outcome = race.outcome(mode)
    for node in race.nodes(mode):
        own = [attempt for attempt in attempts if attempt.worker == node]
        running = [attempt for attempt in own if attempt.running]
        table.add_row(
            node.partition("@")[0],
            ", ".join(_progress(race, attempt) for attempt in running) or "[dim]idle[/dim]",
            str(sum(attempt.held for attempt in own)),
            str(outcome.tasks[node]),
            f"{outcome.busy_s[node]:.1f} s",
        )
    bar = ProgressBar(total=outcome.sent, completed=outcome.done)
    held, busy_s = sum(attempt.held for attempt in attempts), sum(outcome.busy_s.values())
    table.add_row(mode, bar, str(held), f"{outcome.done}/{outcome.sent}", f"{busy_s:.1f} s", style="bold")
    table.add_section()


def _progress(race: ModeRace, attempt: Attempt) -> str:
    """The message with only the dots that are done."""
    message = race.message(attempt)
    weight = weigh(message)
    elapsed_s = time.time() - (attempt.started or 0.0)
    worked_off = max(0, min(weight, int(elapsed_s / race.plan.dot_seconds)))
    return message.rstrip(DOT) + DOT * worked_off
