"""The policies of an app's queues as a list that people read or JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from proj.delivery.dead_letters.policies import hindrance
from proj.errors import EXIT_FAILED

if TYPE_CHECKING:
    from proj.delivery.dead_letters.policies import DeadLetterPolicy
    from proj.delivery.dead_letters.queue_policy import Standing


def show_policy(policies: DeadLetterPolicy, *, as_json: bool) -> None:
    """Print how each queue stands, and what --apply would say to it.

    Raises:
        Exit: something is missing.
    """
    standings = policies.standings()
    leads = policies.leads()
    hindered = hindrance(standings)
    if as_json:
        queues = [{key: value for key, value in asdict(each).items() if key != "base"} for each in standings]
        click.echo(json.dumps({"dead_letters_bound": leads, "hindrance": hindered, "queues": queues}))
    else:
        click.echo("\n\n".join(_block(each) for each in standings))
        if not leads:
            click.echo(f"No exchange {policies.dead_letters} leads to a queue {policies.dead_letters}.", err=True)
    if not leads or any(each.missing for each in standings):
        if not as_json:
            click.echo(hindered or "--apply makes what is missing.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def _block(each: Standing) -> str:
    """A few short lines: names and values of a policy are long, and a table of them fits no terminal."""
    missing = [f"no {key}" if value is None else f"{key}: {value}" for key, value in each.missing.items()]
    values = {
        "dead letters go to": each.dead_letter_exchange or "-",
        "delivery limit": "-" if each.delivery_limit is None else str(each.delivery_limit),
        "max length": "-" if each.max_length is None else str(each.max_length),
        "policy": each.policy or "-",
        "missing": f"\n{'':22}".join(missing) or "nothing",
    }
    there = "" if each.exists else ", not there yet"
    return "\n".join([f"{each.queue} ({each.type}{there})", *(f"  {key:18}  {text}" for key, text in values.items())])
