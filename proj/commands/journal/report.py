"""`celery -A anyapp journal report`: the figures and pictures of a journal, for people, pull requests and programs."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

#: The format that each ending of a file asks for.
FORMATS = {".html": "html", ".htm": "html", ".md": "markdown", ".txt": "text", ".json": "json"}


@click.command(cls=CeleryCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, in the format that its ending asks for: .html, .md, .txt or .json.  [default: stdout]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    help="Which form.  [default: as the ending of the output asks, or text]",
)
@click.option("--run", "runs", multiple=True, metavar="NAME", help="Report this run; may be repeated.  [default: all]")
@click.option("--no-arguments", is_flag=True, help="Name tasks by their type, and show no word of a message.")
@click.pass_context
@handle_preload_options
def report(
    _ctx: click.Context,
    *,
    file: Path,
    output: Path | None,
    form: str | None,
    runs: tuple[str, ...],
    no_arguments: bool,
) -> None:
    """Show what happened, as the journal FILE has it: runs side by side, without a broker.

    The HTML page is one file that needs no network: a timeline with a lane a slot, the depth of the queues, how
    long messages waited, and the table to every picture. Of a task's arguments it shows 40 characters at most.

    \b
    Examples:
      celery -A proj journal report run.sqlite
      celery -A proj journal report run.sqlite -o page.html
      celery -A proj journal report run.sqlite --format markdown --run fair-1 | gh pr comment --body-file -

    Exit codes: 0 reported; 1 the journal cannot be read, or has no such run; 2 wrong use.
    """
    if form is None and output is not None:
        form = FORMATS.get(output.suffix.lower())
        if form is None:
            raise click.UsageError(f"{output.name} ends in none of {', '.join(FORMATS)}; add --format.")
    from proj.commands.journal.report_file import write_report

    write_report(file, output=output, form=form or "text", runs=runs, arguments=not no_arguments)
