"""`celery -A anyapp journal search`: the attempts of a journal that match some words, and what became of each."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

#: Attempts that are shown, and that can be asked for.
SHOWN, MOST_SHOWN = 50, 100_000


@click.command(cls=CeleryCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("--arguments", is_flag=True, help="Search the arguments of tasks, too, and show them.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_SHOWN),
    default=SHOWN,
    show_default=True,
    help="The most attempts that are shown.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@handle_preload_options
def search(
    _ctx: click.Context, *, file: Path, words: tuple[str, ...], arguments: bool, limit: int, as_json: bool
) -> None:
    """Find the attempts in the journal FILE that match every WORD, the newest first. It needs no broker.

    \b
    id:3f2a            the id of the task begins so; also a whole UUID without id:
    name:mail          the name of the task has this in it
    worker:w1          so has the worker's name
    queue:mail         so has the queue's name
    state:failed       sent, received, started, succeeded, failed, retried, rejected, revoked, expired;
                       lost and returned: the task was delivered again
    arguments:Anna     so have the arguments; only with --arguments
    mail               any of these

    Of a task that is found by its id, every delivery is shown: who had it, when, and why it came back.

    \b
    Examples:
      celery -A proj journal search run.sqlite state:failed worker:w1
      celery -A proj journal search run.sqlite id:3f2a
      celery -A proj journal search run.sqlite --arguments 'arguments:to Anna'

    Exit codes: 0 found; 1 no attempt matches; 2 wrong use, or the journal cannot be read.
    """
    from proj.commands.journal.found_table import search_journal

    search_journal(file, words, arguments=arguments, limit=limit, as_json=as_json)
