"""The console for tables: as wide as the terminal, or wide enough for whole lines in a pipe or file."""

from __future__ import annotations

from rich.console import Console

#: Columns of a table in a pipe or a file, where programs read whole lines.
PIPE_WIDTH = 200


def console() -> Console:
    """The console for tables on stdout."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=PIPE_WIDTH)
