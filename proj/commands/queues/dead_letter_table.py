"""Dead letters as people read them: many as a table, or one with all its details."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from proj.commands.terminal.clock import utc
from proj.commands.terminal.console import cell, console, echo, echo_lines
from proj.delivery.dead_letters.export import to_json
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.delivery.dead_letters.letter import DeadLetter
    from proj.delivery.dead_letters.queue import UnackedLetter

#: Characters of arguments, task, queue and worker in a row; anyone can choose them.
_CUT = 40
#: Characters of an id that Celery makes: in one line it can be copied, also from a terminal of 60 columns.
_ID_WIDTH = 36
#: Bytes of a body that are shown.
_BODY_LIMIT = 100_000


def print_table(letters: Sequence[DeadLetter]) -> None:
    """Print a row for each letter, in two columns so that it fits into 80 characters. Ids are never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id\ntask and arguments", overflow="fold", min_width=_ID_WIDTH)
    table.add_column("reason\nqueue, worker, when, tries", overflow="fold")
    for letter in letters:
        what = (letter.id, f"{_cut(letter.task or 'no task')} {_cut(letter.arguments)}")
        where = ", ".join(
            (
                _cut(letter.queue or "no queue"),
                _cut(letter.worker or "no worker"),
                utc(letter.time, unknown="no time"),
                _attempts(letter.attempts),
            )
        )
        table.add_row(cell(*what), cell(letter.reason, where))
    console().print(table)


def print_whole(unacked: UnackedLetter) -> None:
    """Print all that is known of one letter, with its headers, properties and body."""
    letter = unacked.letter
    echo(f"{letter.id}  {letter.task or 'no task'}")
    echo(f"  {letter.reason}")
    echo(
        f"  queue {letter.queue or '?'}, worker {letter.worker or '?'}, {utc(letter.time, unknown='no time')}, "
        f"{_attempts(letter.attempts)}, {letter.size_bytes} bytes"
    )
    properties = dict(unacked.properties)
    headers = properties.pop("application_headers", None) or {}
    for heading, values in (("headers", headers), ("properties", properties)):
        echo()
        echo(heading)
        for name, value in values.items():
            echo(f"  {name}: {json.dumps(to_json(value), ensure_ascii=False)}")
    echo()
    echo("body")
    echo_lines(_body(unacked.body))


def _body(body: bytes) -> str:
    """The body as indented JSON where it is JSON and not too long, else as Python's bytes, cut."""
    cut = body[:_BODY_LIMIT]
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False) if len(body) <= _BODY_LIMIT else repr(cut)
    except (ValueError, RecursionError):
        text = repr(cut)
    lines = [f"  {printable(line)}" for line in text.split("\n")]
    if len(body) > len(cut):
        lines.append(f"  … {len(body) - len(cut)} more bytes; --export writes them all")
    return "\n".join(lines)


def _attempts(attempts: int | None) -> str:
    return "tries unknown" if attempts is None else f"tried {attempts} {'time' if attempts == 1 else 'times'}"


def _cut(text: str) -> str:
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"
