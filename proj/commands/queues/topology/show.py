"""A topology, and how the broker differs from it, as a table for people or as JSON."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.broker.connection import connected
from proj.broker.queue_depths import QueueDepths
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.delivery.dead_letters.app_queues import dead_letter_queue, queue_types
from proj.delivery.dead_letters.policies import QueuePolicies
from proj.delivery.topology.difference import differences, may_see_policies, read_live
from proj.delivery.topology.entities import definitions
from proj.delivery.topology.roles import orders, permissions, user_name
from proj.errors import EXIT_FAILED
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celery import Celery

    from proj.delivery.topology.entities import Part
    from proj.delivery.topology.roles import Role

#: A name with a number, and its type in brackets: there may be many, one after the other.
_NUMBERED = re.compile(r"(.*_)(\d+)( \(.*\))?")


def show_definitions(parts: Sequence[Part], vhost: str) -> None:
    """Print the definitions file."""
    echo_json(definitions(parts, vhost), indent=2)


def show_parts(parts: Sequence[Part], vhost: str, *, as_json: bool) -> None:
    """Print what must exist, part by part."""
    if as_json:
        echo_json({"vhost": vhost, "parts": [asdict(part) for part in parts]})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("for", "what", "without it"):
        table.add_column(heading, overflow="fold")
    for part in parts:
        lines = [
            *_listed("queue", (f"{each.name} ({_arguments(each.arguments)})" for each in part.queues)),
            *_listed("exchange", (f"{each.name} ({each.type})" for each in part.exchanges)),
            *_listed("policy", (each.name for each in part.policies)),
        ]
        if part.bindings:
            lines.append(counted(len(part.bindings), "binding"))
        needed = "required" if part.required else "optional"
        table.add_row(cell(part.name, f"({needed})"), cell(*lines), cell(part.without))
    console().print(Fitted(table))
    echo(f"All of it is durable, in the virtual host {vhost}. --json has every argument and binding.", err=True)


def show_roles(all_roles: Sequence[Role], vhost: str, *, prefix: str, form: str | None) -> None:
    """Print the permissions: for people, or in the `form` json, definitions or rabbitmqctl."""
    if form == "json":
        echo_json(
            {
                "vhost": vhost,
                "roles": [{**asdict(each), **each.permissions, "user": user_name(each, prefix)} for each in all_roles],
            }
        )
    elif form == "definitions":
        echo_json(permissions(all_roles, vhost, prefix), indent=2)
    elif form == "rabbitmqctl":
        for words in orders(all_roles, vhost, prefix):
            echo(shlex.join(["rabbitmqctl", *words]))
    else:
        for each in all_roles:
            echo(f"{user_name(each, prefix)}: {each.purpose}")
            for name in ("configure", "write", "read"):
                for number, pattern in enumerate(getattr(each, name) or ("-",)):
                    echo(f"  {'' if number else name:9}  {pattern}")
            echo(f"  {'tags':9}  {each.tags or '-'}")


def show_differences(
    app: Celery, parts: Sequence[Part], vhost: str, *, additional: Iterable[str], broker_api: str | None, as_json: bool
) -> None:
    """Print what the broker lacks or has otherwise.

    Raises:
        NoBroker: no broker answers.
        NoManagement: the management API does not answer, or refuses.
        Exit: it lacks something, or has something otherwise.
    """
    # Where neither answers, this error says how to start a broker, as that of every other command.
    with connected(app.connection_for_read()):
        pass
    management = QueueDepths(app, broker_api=broker_api).management
    live = read_live(management, vhost)
    sees_policies = may_see_policies(management, vhost)
    policies = QueuePolicies(
        management,
        vhost=vhost,
        queue_types=queue_types(app, additional),
        dead_letters=dead_letter_queue(app),
        max_length=None,
        shipped=(),
    )
    found = differences(parts, live, policies.statuses() if sees_policies else ())
    if as_json:
        echo_json({"vhost": vhost, "policies_known": sees_policies, "differences": [asdict(each) for each in found]})
    else:
        for each in found:
            echo(f"{'+' if each.missing else '~'} {each.kind} {each.name}  ({each.part})")
            for line in each.details:
                echo(f"    {line}")
        missing = sum(each.missing for each in found)
        echo(f"{missing} missing, {len(found) - missing} unlike, in the virtual host {vhost}.", err=True)
    if not sees_policies:
        echo("Policies were not compared: the user of the management API needs the tag policymaker.", err=True)
    if found:
        raise click.exceptions.Exit(EXIT_FAILED)


def _listed(kind: str, names: Iterable[str]) -> list[str]:
    """A line for each; of many that are numbered in a row only the first and the last."""
    rows: list[list[str]] = []
    for name in names:
        if rows and _follows(name, rows[-1][-1]):
            rows[-1].append(name)
        else:
            rows.append([name])
    return [f"{kind} {row[0]}" + (f" … {row[-1]}" if len(row) > 1 else "") for row in rows]


def _follows(name: str, before: str) -> bool:
    """Whether the names are the same but for their numbers, which are next to each other."""
    one, other = _NUMBERED.fullmatch(name), _NUMBERED.fullmatch(before)
    if one is None or other is None:
        return False
    return (one[1], one[3]) == (other[1], other[3]) and abs(int(one[2]) - int(other[2])) == 1


def _arguments(arguments: object) -> str:
    values = dict(arguments) if isinstance(arguments, dict) else {}
    return str(values.get("x-queue-type", "classic"))
