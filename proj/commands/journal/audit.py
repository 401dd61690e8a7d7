"""`celery -A anyapp journal audit`: how every task of a journal ended, or where it is."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import Seconds, broker_api_option


@click.command("audit", cls=CeleryCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--run", help="Count only this run of the journal.")
@click.option("--offline", is_flag=True, help="Ask no broker. Unfinished tasks are then `open`, and none is missing.")
@click.option(
    "--settle",
    type=Seconds(min=0, max=600),
    default=3.0,
    show_default=True,
    help="Seconds after which to look again before a task is called missing, because its events may be late.",
)
@click.option(
    "--dead-letters",
    metavar="NAME",
    help="The dead-letter queue.  [default: the app's proj_dead_letter_queue, else dead_letters]",
)
@broker_api_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the fate of every task id.")
@click.pass_context
@handle_preload_options
def audit(
    ctx: click.Context,
    *,
    file: Path,
    run: str | None,
    offline: bool,
    settle: float,
    dead_letters: str | None,
    broker_api: str | None,
    as_json: bool,
) -> None:
    """Count how every task in the journal FILE ended, or where it is now.

    \b
    finished, failed, revoked, expired   it ended so
    dead-lettered                        its message is in the dead-letter queue
    running, held                        a worker says that it runs, or that it has it and did not start it
    renamed                              its message had no id, and was delivered again under another id
    waiting in the broker                no worker has it, and the broker holds a message for it
    lost                                 it was acknowledged before it ran, and the worker that had begun it is gone
    missing                              no worker has it, and the broker holds no message for it

    The dead-letter queue is not read where its delivery limit is low, because the broker would drop letters that
    are read too often. Its letters then count as waiting in the broker, and a warning says so.

    A worker that had more messages than slots, because the prefetch count applies to each of its queues, is named.

    Exit codes: 0 no task is missing or lost; 1 a task is; 2 wrong use, or the journal cannot be read; 3 no broker
    answers.
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
