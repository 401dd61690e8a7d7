"""`celery -A anyapp journal record`: what happens to tasks, written into a file as it happens."""

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
    help="The journal; one that exists goes on.",
)
@click.option("--run", metavar="NAME", help="Put what is sent meanwhile under this name.")
@click.option("--queue", metavar="NAME", help="Name of the event queue.  [default: made from the path of FILE]")
@click.option("--delete-queue", is_flag=True, help="Record nothing: delete the event queue of FILE, and end.")
@broker_api_option
@click.pass_context
@handle_preload_options
def record(
    ctx: click.Context, *, path: Path, run: str | None, queue: str | None, delete_queue: bool, broker_api: str | None
) -> None:
    """Record what happens to the tasks of any app, until Ctrl-C.

    Every attempt of every task goes into FILE, with the workers, the depths of the queues, and what is known to be
    missing. Events come over a durable queue that belongs to FILE and keeps them, for a day at most, while nobody
    records; so this can be ended, even by SIGKILL, and started again. --delete-queue gives them up.

    Workers are told to send events of tasks, as Flower tells them. Publish times are known only of producers
    with task_send_sent_event.

    Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 FILE is no journal; 2 wrong use; 3 no broker answers.
    """
    from proj.commands.journal.record_events import delete_event_queue, record_until_interrupted

    if delete_queue:
        delete_event_queue(ctx.obj.app, path, queue=queue)
    else:
        record_until_interrupted(ctx.obj.app, path, run=run, queue=queue, broker_api=broker_api)
