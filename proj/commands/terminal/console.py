"""Where tables are printed: as wide as the terminal, and wide enough for whole lines where there is none."""

from __future__ import annotations

from rich.console import Console

#: Columns for a pipe or a file: programs and tests that read a table want its lines whole.
PIPE_WIDTH = 200


def console() -> Console:
    """The console for tables on stdout."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=PIPE_WIDTH)
