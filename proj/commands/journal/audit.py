"""`celery -A anyapp journal audit`: what became of every task."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option


@click.command("audit", cls=CeleryCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--run", help="Only this run of the journal.")
@click.option("--offline", is_flag=True, help="Ask no broker: unfinished tasks are then `open`, and none is missing.")
@click.option(
    "--settle",
    type=click.FloatRange(min=0, max=600),
    default=3.0,
    show_default=True,
    help="Seconds after which to look again before a task is called missing, for its events may be under way.",
)
@click.option("--dead-letters", default="dead_letters", show_default=True, help="Queue of the dead letters.")
@broker_api_option
@click.option("--json", "as_json", is_flag=True, help="Print the ledger as JSON, with the fate of every id.")
@click.pass_context
@handle_preload_options
def audit(
    ctx: click.Context,
    *,
    file: Path,
    run: str | None,
    offline: bool,
    settle: float,
    dead_letters: str,
    broker_api: str | None,
    as_json: bool,
) -> None:
    """Account for every task in the journal FILE.

    \b
    finished, failed, revoked, expired   it ended so
    dead-lettered                        its message is in the dead-letter queue
    running, held                        a worker says that it works on it, or has it
    renamed                              its message had no id, and came again under another one
    waiting in the broker                nobody else has it, and the broker still holds a message for it
    missing                              nobody has it, and the broker holds no message for it either

    Exit codes: 0 nothing is missing; 1 something is; 2 wrong use; 3 no broker answers.
    """
    from proj.commands.journal.ledger_table import audit_journal

    audit_journal(
        ctx.obj.app,
        file,
        run=run,
        settle_s=None if offline else settle,
        dead_letters=dead_letters,
        broker_api=broker_api,
        as_json=as_json,
    )
