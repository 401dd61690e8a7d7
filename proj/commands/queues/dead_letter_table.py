"""Dead letters for people: many as a table, one whole."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proj.commands.terminal.console import console
from proj.delivery.dead_letters.export import to_json
from proj.delivery.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.delivery.dead_letters.letter import DeadLetter
    from proj.delivery.dead_letters.queue import HeldLetter

#: Characters of arguments, and of names that strangers chose, in a row.
_CUT = 40
#: Bytes of a body that are shown whole.
_BODY_LIMIT = 100_000


def print_table(letters: Sequence[DeadLetter]) -> None:
    """Print a row for each, in two columns so that it fits where people read; ids are never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id\ntask and arguments", overflow="fold")
    table.add_column("reason\nqueue, worker, when, tries", overflow="fold")
    for letter in letters:
        what = f"{letter.id}\n{_cut(letter.task or 'no task')} {_cut(letter.arguments)}"
        where = ", ".join(
            (
                _cut(letter.queue or "no queue"),
                _cut(letter.worker or "no worker"),
                _when(letter.time),
                _tries(letter.attempts),
            )
        )
        # As text: what strangers wrote must not be taken for rich's markup.
        table.add_row(Text(what), Text(f"{letter.reason}\n{where}"))
    console().print(table)


def print_whole(held: HeldLetter) -> None:
    """Print all that is known of one: what was read from it, headers, properties, body."""
    letter = held.letter
    click.echo(f"{letter.id}  {letter.task or 'no task'}")
    click.echo(f"  {letter.reason}")
    click.echo(
        f"  queue {letter.queue or '?'}, worker {letter.worker or '?'}, {_when(letter.time)}, "
        f"{_tries(letter.attempts)}, {letter.size_bytes} bytes"
    )
    properties = dict(held.properties)
    headers = properties.pop("application_headers", None) or {}
    for heading, values in (("headers", headers), ("properties", properties)):
        click.echo(f"\n{heading}")
        for name, value in values.items():
            click.echo(f"  {printable(str(name))}: {printable(json.dumps(to_json(value), ensure_ascii=False))}")
    click.echo("\nbody")
    click.echo(_body(held.body))


def _body(body: bytes) -> str:
    """Indented JSON, else text, else Python's bytes; cut where nobody reads on."""
    cut = body[:_BODY_LIMIT]
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False) if len(body) <= _BODY_LIMIT else repr(cut)
    except (ValueError, RecursionError):
        text = repr(cut)
    lines = [f"  {printable(line)}" for line in text.splitlines()]
    if len(body) > len(cut):
        lines.append(f"  … {len(body) - len(cut)} more bytes; --export writes them all")
    return "\n".join(lines)


def _when(time: Any) -> str:  # noqa: ANN401 a number that a stranger may have chosen
    if time is None:
        return "no time"
    try:
        return datetime.fromtimestamp(time, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "no time"


def _tries(attempts: int | None) -> str:
    return "tries unknown" if attempts is None else f"tried {attempts} {'time' if attempts == 1 else 'times'}"


def _cut(text: str) -> str:
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"
