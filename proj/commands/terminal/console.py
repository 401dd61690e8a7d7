"""What commands print: sentences, JSON, questions and tables, in which no text of others can steer the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from proj.printable import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType

#: Columns of a table in a pipe or a file, where programs read whole lines.
PIPE_WIDTH = 200


def echo(line: str = "", *, err: bool = False, nl: bool = True, over: bool = False) -> None:
    """Print one line, to stderr with `err`; `over` the current line, and without a line break unless `nl`."""
    click.echo("\r" * over + printable(line), nl=nl, err=err)


def echo_lines(text: str, *, nl: bool = True) -> None:
    """Print a text of several lines, in which each text of others is `printable` already."""
    click.echo(printable(text, keep="\n"), nl=nl)


def echo_json(document: object, *, indent: int | None = None) -> None:
    """Print the document as JSON, in one line unless there is an `indent`."""
    click.echo(json_text(document, indent=indent))


def confirm(question: str) -> None:
    """Ask on stderr whether to go on.

    Raises:
        Abort: the answer is no.
    """
    click.confirm(printable(question), abort=True, err=True)


def cell(*lines: str, style: str = "") -> Text:
    """The lines of a cell of a table, or a line of a text; nothing in them is taken for rich's markup."""
    return Text("\n".join(map(printable, lines)), style=style)


class SafeConsole(Console):
    """Rich's console, which also escapes what was not made by `cell`."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich renders, without control characters but its own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)


def console() -> Console:
    """The console for tables on stdout: as wide as the terminal, or wide enough for whole lines in a pipe or file."""
    terminal = SafeConsole()
    return terminal if terminal.is_terminal else SafeConsole(width=PIPE_WIDTH)
