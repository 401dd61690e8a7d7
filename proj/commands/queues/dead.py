"""`celery -A anyapp queues dead`: the messages that will not be tried again, and what to do with them."""

from __future__ import annotations

from typing import Any

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.options import broker_api_option


@click.command(cls=CeleryCommand)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--task", help="Choose those of this task.")
@click.option("--reason", help="Choose those with this text in their reason.")
@click.option("--all", "everything", is_flag=True, help="Choose all.")
@click.option("--show", is_flag=True, help="Show the chosen ones whole: headers, properties, body.")
@click.option("--requeue", is_flag=True, help="Send the chosen ones back to where they came from.")
@click.option("--to", help="With --requeue: send them to this queue instead.")
@click.option(
    "--export",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the chosen ones to a new file, as JSON lines; they stay, unless --purge is given too.",
)
@click.option("--purge", is_flag=True, help="Remove the chosen ones for ever.")
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
@click.option(
    "--import",
    "import_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Put letters of such a file into the dead-letter queue.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many.  [default: 100 in a table, else all]")
@click.option("--queue", help="The dead-letter queue.  [default: the app's proj_dead_letter_queue, else dead_letters]")
@click.option("--anyway", is_flag=True, help="Look even where the broker may drop what was looked at too often.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line a letter.")
@broker_api_option
@click.pass_context
@handle_preload_options
def dead(ctx: click.Context, *, broker_api: str | None, queue: str | None, **options: Any) -> None:  # noqa: ANN401 click's
    """List dead letters, the oldest first; show, requeue, export or purge chosen ones.

    They are chosen by their IDs, --task, --reason or --all. Looking takes nothing away and keeps their
    order. It needs nothing of the app's tasks.

    A letter that is requeued goes to the queue it came from and starts anew, without the headers that say
    why it died. It leaves here when the broker has confirmed it there: interrupted in between, it is in
    both.

    Exit codes: 0 done; 1 a letter was not found, or could not be requeued, and stays; 2 wrong use; 3 no
    broker answers.
    """
    from proj.broker.queue_depths import Gauge
    from proj.commands.queues.dead_letters import Wishes, serve
    from proj.delivery.dead_letters.queue import DeadLetters

    wishes = Wishes(**options)
    app = ctx.obj.app
    letters = DeadLetters(app, queue=queue, at_most=wishes.at_most)
    with naming_the_app(ctx):
        serve(letters, Gauge(app, broker_api=broker_api).management, wishes)
