"""The dead-letter policies of an app's queues as a table that people read or JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proj.commands.console import console
from proj.errors import EXIT_FAILED

if TYPE_CHECKING:
    from proj.delivery.dead_letter_policy import DeadLetterPolicy


def show_policy(policies: DeadLetterPolicy, *, as_json: bool) -> None:
    """Print how each queue stands.

    Raises:
        Exit: something is missing.
    """
    standings = policies.standings()
    leads = policies.leads()
    if as_json:
        click.echo(json.dumps({"dead_letters_bound": leads, "queues": [asdict(each) for each in standings]}))
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("queue", "type", "dead letters go to", "delivery limit", "max length", "policy", "missing"):
            table.add_column(heading, overflow="fold")
        for each in standings:
            missing = ", ".join(
                f"no {key}" if value is None else f"{key}: {value}" for key, value in each.missing.items()
            )
            cells = (
                each.queue if each.exists else f"{each.queue} (not there yet)",
                each.type,
                each.dead_letter_exchange or "-",
                "-" if each.delivery_limit is None else str(each.delivery_limit),
                "-" if each.max_length is None else str(each.max_length),
                each.policy or "-",
                missing or "nothing",
            )
            table.add_row(*(Text(cell) for cell in cells))
        console().print(table)
        if not leads:
            click.echo(f"No exchange {policies.dead_letters} leads to a queue {policies.dead_letters}.", err=True)
    if not leads or any(each.missing for each in standings):
        if not as_json:
            click.echo("--apply makes what is missing.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)
