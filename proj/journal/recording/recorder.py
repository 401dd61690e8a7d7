"""Recorder: a thread that records an app's events from a durable queue into a journal until it is stopped."""

from __future__ import annotations

import logging
import math
import platform
import sqlite3
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from proj.broker.connection import connected, default_channel
from proj.broker.queue_depths import QueueDepths
from proj.errors import NoBroker
from proj.journal.recording.event_queue import EventQueue, queue_name
from proj.journal.recording.session import QUEUE_NOTE, RecordingSession
from proj.journal.records import Run
from proj.journal.schema import unreadable
from proj.journal.writer import JournalWriter
from proj.service import Service, await_event

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery
    from kombu import Connection

logger = logging.getLogger(__name__)

#: Seconds between two attempts to connect to a broker that is away.
RECONNECT_S = 1.0
#: Seconds until the thread must have ended: it may record the last events, or wait for an answer.
END_S = 30.0


class Recorder(Service):
    """Records an app's events between `start` and `stop`, in a thread of its own.

    It may be killed at any moment: events that were not committed were not acknowledged, and RabbitMQ delivers them
    again to the next recorder.
    """

    def __init__(
        self,
        app: Celery,
        path: Path,
        *,
        run: str | None = None,
        queue: str | None = None,
        broker_api: str | None = None,
    ) -> None:
        """Record the events of `app` into the journal at `path`.

        Args:
            app: whose broker and event exchange are used.
            path: the journal, which is made if it does not exist.
            run: the name of a run to which new attempts belong.
            queue: the name of the event queue; without it, the one that the journal has used, or one made from `path`.
            broker_api: the address of the management API.
        """
        self._app = app
        self._path = path
        self._run = run
        self._queue_option = queue
        self._queue_depths = QueueDepths(app, broker_api=broker_api)
        self._ending = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run_thread, name="recorder", daemon=True)
        #: The name of the event queue; empty before `start`, unless it was given.
        self.queue_name = queue or ""
        #: Events that were written.
        self.written = 0

    def start(self) -> None:
        """Start the thread, and return when the event queue exists, so that no further event is missed.

        Raises:
            NoBroker: no broker answers.
            UnreadableJournal: the file cannot be used.
            InvalidSetting: there is another queue of the event queue's name.
            OtherBroker: the management API is that of another broker.
        """
        self._queue_depths.management.check_if_it_answers()
        self._thread.start()
        await_event(self._ready)
        if self._error is not None:
            raise self._error

    def wait(self, timeout_s: float = math.inf) -> bool:
        """Wait until an error ends the thread, or `stop`; return whether it has ended within `timeout_s`.

        Raises:
            Exception: the error that ended it.
        """
        # Not `join`: after an interruption it reports a running thread as ended (cpython#89437).
        ended = await_event(self._ended, timeout_s)
        if self._error is not None:
            raise self._error
        return ended

    def stop(self) -> None:
        """Record what is still in the queue, for a few seconds at most, and end; safe to call twice."""
        self._ending.set()
        if self._ready.is_set():
            await_event(self._ended, END_S)

    def _run_thread(self) -> None:
        try:
            with JournalWriter(self._path) as writer:
                self._record(writer)
        except sqlite3.Error as error:
            self._error = unreadable(self._path, error)
        except BaseException as error:  # noqa: BLE001 `start` or `wait` raises it again
            self._error = error
        finally:
            self._ready.set()
            self._ended.set()

    def _record(self, writer: JournalWriter) -> None:
        noted = writer.journal.note(QUEUE_NOTE)
        self.queue_name = self._queue_option or noted or queue_name(self._app.conf.event_queue_prefix, self._path)
        queue = EventQueue(self._app, self.queue_name, self._path)
        session = RecordingSession(self._app, writer, queue, self._queue_depths, run=self._run, on_written=self._count)
        down_since: float | None = None
        try:
            while not (self._ending.is_set() and self._ready.is_set()):
                connection = self._app.connection_for_read()
                try:
                    with connected(connection):
                        session.begin(connection, down_since=down_since)
                        self._begin_run(writer, connection)
                        down_since = None
                        self._ready.set()
                        session.consume(connection, self._ending)
                except NoBroker:
                    if not self._ready.is_set():
                        raise
                    down_since = down_since or time.time()
                    self._ending.wait(RECONNECT_S)
                except connection.connection_errors + connection.channel_errors as error:
                    logger.warning(
                        "The connection to the broker was lost (%s); connecting again.",
                        error,
                        extra={"action": "broker_away"},
                    )
                    session.disconnected()
                    self._ending.wait(RECONNECT_S)
            session.write()
        finally:
            session.end()
        if self._run is not None:
            writer.end_run(self._run, time.time())
        writer.commit()

    def _count(self, written: int) -> None:
        self.written = written

    def _begin_run(self, writer: JournalWriter, connection: Connection) -> None:
        if self._run is not None and not self._ready.is_set():
            writer.add_run(Run(name=self._run, dispatch=None, began=time.time(), machine=_machine(connection)))
            writer.commit()


def _machine(connection: Connection) -> dict[str, Any]:
    server_properties = default_channel(connection).connection.server_properties
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
        "rabbitmq": server_properties.get("version"),
    }
