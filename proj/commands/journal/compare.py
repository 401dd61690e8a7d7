"""`celery -A anyapp journal compare`: the figures of runs by group, and which differences are significant."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options


@click.command(cls=CeleryCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
@handle_preload_options
def compare(ctx: click.Context, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Compare the runs in the journals FILES by dispatch mode.

    Shows the median of each figure over the runs of a mode, with its 95% confidence interval. A rank test,
    corrected for the number of figures, tells which differences are significant. A mode that several files have is
    one group for each file. Only runs with the same settings, such as workload and number of workers, are compared.
    It needs no broker. Without SciPy it shows the medians alone.

    \b
    Examples:
      celery -A proj journal compare run.sqlite
      celery -A proj journal compare before.sqlite after.sqlite

    Exit codes: 0 compared; 1 no run has ended; 2 wrong use, or a file cannot be read.
    """
    del ctx
    from proj.commands.journal.comparison_table import show_comparison

    show_comparison(files, as_json=as_json)
