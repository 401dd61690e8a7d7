"""`celery -A anyapp journal record`: writes into a file what happens to tasks, while it happens."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option


@click.command(cls=CeleryCommand)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The journal. An existing one is continued.",
)
@click.option("--run", metavar="NAME", help="Put new tasks into a run of this name.")
@click.option("--queue", metavar="NAME", help="Name of the event queue.  [default: made from the path of FILE]")
@click.option("--forget", is_flag=True, help="Record nothing; delete the event queue of FILE with the events in it.")
@broker_api_option
@click.pass_context
@handle_preload_options
def record(
    ctx: click.Context, *, path: Path, run: str | None, queue: str | None, forget: bool, broker_api: str | None
) -> None:
    """Record what happens to the tasks of any app, until Ctrl-C.

    Writes every attempt of every task into FILE, with the workers, the depths of the queues, and the times for
    which events are known to be missing. Events come from a durable queue that belongs to FILE. It keeps them while no
    recorder runs, up to a million, and the broker deletes it after a day without one. So the recorder may end in any
    way, even by SIGKILL, and be started again. --forget deletes the queue at once; `queues` names those without a
    recorder.

    Tells the workers to send events of tasks, as Flower does. Publish times are known only of producers with the
    setting task_send_sent_event.

    Exit codes: 0 ended by Ctrl-C or SIGTERM; 2 wrong use, or FILE is not a journal; 3 no broker answers.
    """
    from proj.commands.journal.record_events import forget_events, record_until_interrupted

    if forget:
        forget_events(ctx.obj.app, path, queue=queue)
    else:
        record_until_interrupted(ctx.obj.app, path, run=run, queue=queue, broker_api=broker_api)
