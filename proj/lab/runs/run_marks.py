"""Sends run marks: events that tell the Dispatch page where a run of the lab begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.journal.run_marks import BEGAN, ENDED, EVENT

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery
    from kombu import Connection


def mark_began(app: Celery, connection: Connection, *, run: str, queues: Collection[str]) -> None:
    """Mark the beginning of the run: tasks of these queues belong to it from now on."""
    _send(app, connection, run=run, state=BEGAN, queues=queues)


def mark_ended(app: Celery, connection: Connection, *, run: str, queues: Collection[str]) -> None:
    """Mark the end of the run: later tasks do not belong to it."""
    _send(app, connection, run=run, state=ENDED, queues=queues)


def _send(app: Celery, connection: Connection, *, run: str, state: str, queues: Collection[str]) -> None:
    with app.events.Dispatcher(connection) as dispatcher:
        dispatcher.send(EVENT, run=run, state=state, queues=sorted(queues))
