"""`celery -A anyapp journal report`: the figures and drawings of a journal as text, Markdown, HTML or JSON."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

#: The format for each ending of the output file.
FORMATS = {".html": "html", ".htm": "html", ".md": "markdown", ".txt": "text", ".json": "json"}


@click.command(cls=CeleryCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file. Its ending chooses the format: .html, .md, .txt or .json.  [default: stdout]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    help="The format.  [default: by the ending of the output, else text]",
)
@click.option(
    "--run", "runs", multiple=True, metavar="NAME", help="Report only this run; may be repeated.  [default: all runs]"
)
@click.option("--arguments", is_flag=True, help="Show the arguments of tasks instead of their names.")
@click.pass_context
@handle_preload_options
def report(
    _ctx: click.Context,
    *,
    file: Path,
    output: Path | None,
    form: str | None,
    runs: tuple[str, ...],
    arguments: bool,
) -> None:
    """Report the runs in the journal FILE side by side. It needs no broker.

    The HTML page is one file that needs no network. It has a timeline with one lane for each slot, the depth of the
    queues, the waits, and a table for every picture. It names a task by its task name. With --arguments it has up to
    40 characters of the arguments instead, which everyone who reads the report then sees.

    \b
    Examples:
      celery -A proj journal report run.sqlite
      celery -A proj journal report run.sqlite -o page.html
      celery -A proj journal report run.sqlite --format markdown --run fair-1 | gh pr comment --body-file -

    Exit codes: 0 reported; 1 the journal has no such run; 2 wrong use, or the journal cannot be read.
    """
    if form is None and output is not None:
        form = FORMATS.get(output.suffix.lower())
        if form is None:
            raise click.UsageError(
                f"{output.name} ends in none of {', '.join(FORMATS)}; choose a format with --format."
            )
    from proj.commands.journal.report_file import write_report

    write_report(file, output=output, form=form or "text", runs=runs, arguments=arguments)
