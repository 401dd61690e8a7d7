"""`celery journal repair`: makes a new journal of what can be read of a damaged one."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options


@click.command(cls=CeleryCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="NEW",
    help="The new journal; it must not exist.",
)
@click.pass_context
@handle_preload_options
def repair(_ctx: click.Context, *, file: Path, output: Path) -> None:
    """Save what can be read of the damaged journal FILE into a new one. FILE stays as it is.

    A file is damaged when it was cut off while it was copied, or when its disk failed. Every page that is whole is
    read, also where the index or the first page is lost. What was on other pages is missing, and nothing tells what
    it was: so the new journal has a gap over its whole time, which reports and audits name.

    It needs no broker.

    \b
    Example:
      celery journal repair run.sqlite -o saved.sqlite

    Exit codes: 0 saved; 2 wrong use, or there is nothing to save.
    """
    from proj.commands.journal.repaired_file import save_journal

    save_journal(file, output)
