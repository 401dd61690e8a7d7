"""Recording from the terminal: `journal record`, until it is interrupted, and the deletion of its event queue."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from proj.broker.connection import connected
from proj.commands.terminal.console import echo
from proj.commands.terminal.interrupt import interruptible
from proj.journal.reader import open_journal
from proj.journal.recording.event_queue import EventQueue, queue_name
from proj.journal.recording.recorder import Recorder
from proj.journal.recording.session import QUEUE_NOTE
from proj.plural import counted

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery


#: Seconds between two counts of events, on a terminal and elsewhere.
SECOND_S, MINUTE_S = 1.0, 60.0


def record_until_interrupted(
    app: Celery, path: Path, *, run: str | None, queue: str | None, broker_api: str | None
) -> None:
    """Record into the journal at `path` until Ctrl-C or SIGTERM, which is the normal end.

    Raises:
        NoBroker: no broker answers at the start.
        UnreadableJournal: the file is not a journal, or another process is writing it.
        Interrupted: a second interruption came before the last events were written.
    """
    recorder = Recorder(app, path, run=run, queue=queue, broker_api=broker_api)
    with (
        interruptible(
            "Interrupted before all events were written. The others are still in the event queue; "
            "start the same command again to record them."
        ),
        contextlib.suppress(KeyboardInterrupt),
        recorder,
    ):
        echo(f"Recording into {path}. Press Ctrl-C to end.", err=True)
        _show_until_ended(recorder)
    # Raises the error of a recorder that failed while it ended.
    recorder.wait()
    echo(
        f"{counted(recorder.written, 'event')} written to {path}. The broker keeps further events in the queue "
        f"{recorder.queue_name}, and deletes it when no recorder comes back for a day. The same command continues the "
        "journal with them; with --forget it deletes the queue.",
        err=True,
    )


def _show_until_ended(recorder: Recorder) -> None:
    """Say how many events were written: each second in one line of a terminal, else each minute with new ones."""
    is_terminal = sys.stderr.isatty()
    shown = 0
    try:
        while not recorder.wait(SECOND_S if is_terminal else MINUTE_S):
            if is_terminal:
                echo(f"{counted(recorder.written, 'event')} written", nl=False, err=True, over=True)
            elif recorder.written != shown:
                shown = recorder.written
                echo(f"{counted(shown, 'event')} written", err=True)
    finally:
        if is_terminal:
            echo(err=True)


def forget_events(app: Celery, path: Path, *, queue: str | None) -> None:
    """Delete the event queue of the journal at `path`, with the events in it.

    Raises:
        NoBroker: no broker answers.
    """
    if queue is None and path.exists():
        with open_journal(path) as journal:
            queue = journal.note(QUEUE_NOTE)
    name = queue or queue_name(app.conf.event_queue_prefix, path)
    with connected(app.connection_for_write()) as connection:
        before = EventQueue(app, name, path).delete(connection)
    if before.existed:
        echo(f"Deleted the queue {name} with {counted(before.messages, 'message')} of events.", err=True)
    else:
        echo(f"The broker has no queue {name}; nothing was deleted.", err=True)
