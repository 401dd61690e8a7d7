"""The policies of an app's queues, as a list for people or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from proj.commands.terminal.console import echo, echo_json, echo_lines
from proj.delivery.dead_letters.policies import obstacle
from proj.errors import EXIT_FAILED
from proj.printable import printable

if TYPE_CHECKING:
    from proj.delivery.dead_letters.policies import QueuePolicies
    from proj.delivery.dead_letters.queue_policy import PolicyStatus


def show_policy(policies: QueuePolicies, *, as_json: bool) -> None:
    """Print the status of each queue, and whether --apply can make what is missing.

    Raises:
        Exit: something is missing.
    """
    statuses = policies.statuses()
    is_bound = policies.is_dead_letter_queue_bound()
    hindered = obstacle(statuses)
    if as_json:
        queues = [{key: value for key, value in asdict(each).items() if key != "base"} for each in statuses]
        echo_json({"dead_letters_bound": is_bound, "hindrance": hindered, "queues": queues})
    else:
        echo_lines("\n\n".join(_block(each) for each in statuses))
        if not is_bound:
            name = policies.dead_letters
            echo(f"There is no exchange {name} that is bound to a queue {name}.", err=True)
    if not is_bound or any(each.missing for each in statuses):
        if not as_json:
            echo(hindered or "--apply makes what is missing.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def _block(each: PolicyStatus) -> str:
    """A few short lines, because a table of long names and values fits no terminal."""
    missing = [printable(f"no {key}" if value is None else f"{key}: {value}") for key, value in each.missing.items()]
    values = {
        "dead letters go to": printable(str(each.dead_letter_exchange or "-")),
        "delivery limit": "-" if each.delivery_limit is None else str(each.delivery_limit),
        "max length": "-" if each.max_length is None else str(each.max_length),
        "policy": printable(each.policy or "-"),
        "missing": f"\n{'':22}".join(missing) or "nothing",
    }
    there = "" if each.exists else ", not there yet"
    return "\n".join(
        [
            f"{printable(each.queue)} ({printable(each.type)}{there})",
            *(f"  {key:18}  {text}" for key, text in values.items()),
        ]
    )
