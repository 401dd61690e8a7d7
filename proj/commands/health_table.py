"""The health of workers, as a table for people or as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from proj.delivery.health.verdict import Finding, Health


def show_health(healths: list[Health], *, notes: Iterable[str | None], as_json: bool) -> None:
    """Print the health of each worker; `notes` say what else is to be known, on stderr.

    Raises:
        Exit: a worker is unhealthy, or there is none.
    """
    if as_json:
        echo_json([{**asdict(each), "healthy": each.is_well} for each in healths])
    elif healths:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("worker", "healthy", "alive", "consuming", "progressing"):
            table.add_column(heading, overflow="fold")
        for each in healths:
            findings = (_text(finding) for finding in (each.alive, each.consuming, each.progressing))
            table.add_row(cell(each.worker), "yes" if each.is_well else "no", *findings)
        console().print(Fitted(table))
    else:
        echo("No worker answers.", err=True)
    for note in notes:
        if note is not None:
            echo(naming_the_app(note), err=True)
    if not healths or not all(each.is_well for each in healths):
        raise click.exceptions.Exit(EXIT_FAILED)


def _text(finding: Finding) -> Text:
    return cell(f"{finding.answer}: {finding.why}")
