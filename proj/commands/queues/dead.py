"""`celery -A anyapp queues dead`: shows, requeues, exports and removes dead letters."""

from __future__ import annotations

from typing import Any

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import action_journal_option, broker_api_option


@click.command(cls=CeleryCommand)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--task", help="Choose the letters of this task.")
@click.option("--reason", help="Choose the letters with this text in their reason.")
@click.option("--all", "everything", is_flag=True, help="Choose all letters.")
@click.option("--show", is_flag=True, help="Show the chosen letters with headers, properties and body.")
@click.option("--requeue", is_flag=True, help="Send the chosen letters back to the queues they came from.")
@click.option("--to", help="With --requeue: send them to this queue instead.")
@click.option(
    "--export",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the chosen letters to a new file, as JSON lines. They stay in the queue unless --purge is given too.",
)
@click.option("--purge", is_flag=True, help="Remove the chosen letters for ever.")
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
@click.option(
    "--import",
    "import_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Put the letters of an exported file into the dead-letter queue.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many.  [default: 100 in a table, else all]")
@click.option("--queue", help="The dead-letter queue.  [default: the app's proj_dead_letter_queue, else dead_letters]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line a letter.")
@action_journal_option
@broker_api_option
@click.pass_context
@handle_preload_options
def dead(ctx: click.Context, *, broker_api: str | None, queue: str | None, **options: Any) -> None:  # noqa: ANN401 the fields of DeadOptions
    """List dead letters, the oldest first; show, requeue, export or purge the chosen ones.

    Letters are chosen by their IDs, --task, --reason or --all. Looking removes no letter and keeps their order. The
    app's tasks are not imported.

    A requeued letter goes to the queue it came from, without the headers that say why it was dead-lettered. It is
    removed here when the broker has confirmed it there. Ctrl-C ends it between two letters. If it is killed, some
    letters may be in both queues; the next --requeue names each of them.

    Exit codes: 0 done; 1 a letter was not found, or could not be requeued and stays; 2 wrong use; 3 no
    broker answers.
    """
    from proj.broker.queue_depths import QueueDepths
    from proj.commands.queues.dead_letters import DeadOptions, process_letters
    from proj.delivery.dead_letters.queue import DeadLetterQueue

    wanted = DeadOptions(**options)
    app = ctx.obj.app
    letters = DeadLetterQueue(
        app,
        name=queue,
        management=QueueDepths(app, broker_api=broker_api).management,
        at_most=wanted.at_most,
        reads=not wanted.reads_no_letter,
    )
    process_letters(app, letters, wanted)
