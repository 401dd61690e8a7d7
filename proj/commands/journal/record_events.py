"""A recording that a person starts and ends, with a word about it at both ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from proj.broker.connection import connected
from proj.commands.terminal.interrupt import interruptible
from proj.journal.reader import open_journal
from proj.journal.recording.event_queue import EventQueue, queue_name
from proj.journal.recording.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery


def record_until_interrupted(
    app: Celery, path: Path, *, run: str | None, queue: str | None, broker_api: str | None
) -> None:
    """Record until Ctrl-C or SIGTERM, which is how it ends.

    Raises:
        NoBroker: no broker answers at the start.
        UnreadableJournal: the file is not a journal.
        Interrupted: it was interrupted a second time, before it had ended.
    """
    recorder = Recorder(app, path, run=run, queue=queue, broker_api=broker_api)
    with (
        interruptible(f"Interrupted before all was written; the rest waits in the queue {recorder.queue_name}."),
        contextlib.suppress(KeyboardInterrupt),
        recorder,
    ):
        click.echo(f"Recording into {path}; Ctrl-C ends.", err=True)
        recorder.wait()
    # An error at the very end, too, must not pass for a good one.
    recorder.wait()
    click.echo(
        f"{recorder.taken:,} events are in {path}. Their queue goes on collecting for a day at most; "
        "the same command goes on with it, and --delete-queue deletes it.",
        err=True,
    )


def delete_event_queue(app: Celery, path: Path, *, queue: str | None) -> None:
    """Delete the event queue of the journal at `path`.

    Raises:
        NoBroker: no broker answers.
    """
    if queue is None and path.exists():
        with open_journal(path) as journal:
            queue = journal.note("queue")
    name = queue or queue_name(app.conf.event_queue_prefix, path)
    with connected(app.connection_for_write()) as connection:
        found = EventQueue(app, name).delete(connection)
    if found.existed:
        click.echo(f"Deleted the queue {name} and {found.messages:,} messages of events in it.", err=True)
    else:
        click.echo(f"There is no queue {name} at the broker.", err=True)
