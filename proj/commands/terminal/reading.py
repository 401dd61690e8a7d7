"""Says that a command reads a large file, which takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.commands.terminal.console import echo

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a journal that is read within about two seconds.
SMALL_BYTES = 10_000_000


def say_reading(path: Path) -> None:
    """Say so on stderr, where the file is large."""
    try:
        size = path.stat().st_size
    except OSError:  # whoever opens it says why it cannot be read
        return
    if size > SMALL_BYTES:
        echo(f"Reading {path} ({size / 1e6:,.0f} MB) …", err=True)
