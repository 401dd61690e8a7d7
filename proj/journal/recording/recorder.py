"""The recorder: takes events from a durable queue into a journal, and acknowledges what is on the disk."""

from __future__ import annotations

import logging
import platform
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import celery
import kombu

from proj.broker.connection import connected
from proj.broker.queue_depths import Gauge
from proj.errors import NoBroker, UnreadableJournal
from proj.journal.recording.event_queue import KEPT_S, EventQueue, queue_name
from proj.journal.recording.event_writer import EventWriter
from proj.journal.recording.pollers import DepthPoller, WorkerPoller
from proj.journal.records import Gap, Run
from proj.journal.writer import JournalWriter
from proj.service import Service, await_event

if TYPE_CHECKING:
    from pathlib import Path
    from queue import SimpleQueue

    from celery import Celery
    from kombu import Connection, Message

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Messages that the broker gives ahead, and thereby the most that are in memory.
PREFETCH = 500
#: Seconds between two commits while events come, and until a silence is taken for the end.
BATCH_S = 0.25
#: Seconds until a broker that is away is tried again.
AGAIN_S = 1.0
#: Seconds that the end may take while events still come.
LAST_S = 5.0
#: Seconds until the thread must have ended: the last events, and an answer that is under way.
END_S = 30.0


class Recorder(Service):
    """Records an app's events between `start` and `stop`, in a thread of its own.

    It may be killed at any moment: what was not committed was not acknowledged either, and the queue gives it again.
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
        """Record events of `app` into the journal at `path`, from a queue that is named after it unless given."""
        self._app = app
        self._path = path
        self._run = run
        self._name = queue
        self._gauge = Gauge(app, broker_api=broker_api)
        self._ending = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="recorder", daemon=True)
        self._heard: list[tuple[float, object]] = []
        self._last: Message | None = None
        #: The event queue's name, and how many events were taken and ignored.
        self.queue_name = queue or ""
        self.taken = 0
        self.ignored = 0

    def start(self) -> None:
        """Begin, and return when no event can be missed any more.

        Raises:
            NoBroker: no broker answers.
            UnreadableJournal: the file cannot be used.
            InvalidSetting: there is another queue of the event queue's name.
        """
        self._thread.start()
        await_event(self._ready)
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait for the end, which only an error or an interruption is.

        Raises:
            Exception: whatever ended it.
        """
        # Not by `join`: interrupted, it takes a thread that runs for one that has ended (cpython#89437).
        await_event(self._ended)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Take what is still in the queue, for a few seconds at most, and end; safe to call twice."""
        self._ending.set()
        if self._ready.is_set():
            await_event(self._ended, END_S)

    def _guarded(self) -> None:
        try:
            with JournalWriter(self._path) as writer:
                self._record(writer)
        except sqlite3.Error as error:
            self._error = UnreadableJournal(self._path, f"SQLite says: {error}")
        except BaseException as error:  # noqa: BLE001 it is raised again in the thread that waits
            self._error = error
        finally:
            self._ready.set()
            self._ended.set()

    def _record(self, writer: JournalWriter) -> None:
        noted = writer.journal.note("queue")
        self.queue_name = self._name or noted or queue_name(self._app.conf.event_queue_prefix, self._path)
        queue = EventQueue(self._app, self.queue_name)
        event_writer = EventWriter(writer, run=self._run)
        depth_poller, worker_poller = DepthPoller(self._gauge, without=self.queue_name), WorkerPoller(self._app)
        try:
            down_since: float | None = None
            while not (self._ending.is_set() and self._ready.is_set()):
                link = self._app.connection_for_read()
                try:
                    with connected(link) as connection:
                        self._begin(writer, queue, connection, down_since)
                        down_since = None
                        # Only now, for without a broker they would hold up the refusal; again does nothing.
                        depth_poller.start()
                        worker_poller.start()
                        self._consume(event_writer, writer, queue, connection, depth_poller, worker_poller)
                except NoBroker:
                    if not self._ready.is_set():
                        raise
                    down_since = down_since or time.time()
                    self._ending.wait(AGAIN_S)
                except link.connection_errors + link.channel_errors as error:
                    logger.warning("The broker is away (%s); trying again.", error, extra={"action": "broker_away"})
                    # It will be given again, for it was not acknowledged; but not by a broker that was restarted.
                    self._write(event_writer, writer, depth_poller, worker_poller)
                    self._last = None
                    self._ending.wait(AGAIN_S)
            self._write(event_writer, writer, depth_poller, worker_poller)
        finally:
            depth_poller.stop()
            worker_poller.stop()
        if self._run is not None:
            writer.end_run(self._run, time.time())
        writer.commit()

    def _begin(
        self, writer: JournalWriter, queue: EventQueue, connection: Connection, down_since: float | None
    ) -> None:
        """Declare the queue, and write down what must have been missed while nobody listened."""
        found = queue.declare(connection)
        now = time.time()
        last = float(writer.journal.note("heard") or 0)
        noted = writer.journal.note("queue") == queue.name
        if noted and not found.existed:
            writer.put_gaps([Gap(began=last, ended=now, events=None, reason="The event queue was gone.")])
        elif noted and down_since is not None:
            reason = "The broker was away, and what was still in its event queue went with it."
            writer.put_gaps([Gap(began=last, ended=now, events=None, reason=reason)])
        elif found.overflowed:
            reason = "The event queue overflowed while nobody recorded."
            writer.put_gaps([Gap(began=last or now, ended=now, events=None, reason=reason)])
        elif noted and now - last > KEPT_S:
            reason = f"Nobody recorded, and events are kept for {KEPT_S // 3600} hours."
            writer.put_gaps([Gap(began=last, ended=now - KEPT_S, events=None, reason=reason)])
        writer.put_note("queue", queue.name)
        if self._run is not None and not self._ready.is_set():
            writer.add_run(Run(name=self._run, dispatch=None, began=now, machine=_machine(connection)))
        writer.commit()
        self._ready.set()

    def _consume(
        self,
        event_writer: EventWriter,
        writer: JournalWriter,
        queue: EventQueue,
        connection: Connection,
        depth_poller: DepthPoller,
        worker_poller: WorkerPoller,
    ) -> None:
        """Take events until the end is asked for and the queue is empty."""
        with (
            connection.channel() as channel,
            connection.Consumer(
                [queue.bound(connection)(channel)],
                channel=channel,
                on_message=self._hear,
                accept={self._app.conf.event_serializer, "json"},
                prefetch_count=PREFETCH,
            ),
        ):
            written = time.monotonic()
            deadline = None
            while deadline is None or time.monotonic() < deadline:
                try:
                    connection.drain_events(timeout=BATCH_S)
                    quiet = False
                except TimeoutError:
                    quiet = True
                if quiet or len(self._heard) >= 10 * PREFETCH or time.monotonic() - written >= BATCH_S:
                    self._write(event_writer, writer, depth_poller, worker_poller)
                    if self._last is not None:
                        self._last.ack(multiple=True)
                        self._last = None
                    connection.heartbeat_check()
                    written = time.monotonic()
                if self._ending.is_set():
                    if quiet:
                        return
                    deadline = deadline or time.monotonic() + LAST_S

    def _hear(self, message: Message) -> None:
        now = time.time()
        try:
            told = message.payload
        except Exception as error:  # noqa: BLE001 whoever can publish may send anything, in any coding
            logger.debug("A message could not be read: %s", error, extra={"action": "malformed"})
            told = None
        for event in told if isinstance(told, list) else [told]:
            self._heard.append((now, event))
        self._last = message

    def _write(
        self, event_writer: EventWriter, writer: JournalWriter, depth_poller: DepthPoller, worker_poller: WorkerPoller
    ) -> None:
        """Write what was heard, and commit."""
        workers, samples = _all(worker_poller.workers), _all(depth_poller.samples)
        if self._heard or workers or samples:
            event_writer.write_workers(workers)
            event_writer.write(self._heard)
            writer.put_samples(samples)
            writer.put_note("heard", repr(time.time()))
            writer.commit()
            self._heard.clear()
            self.taken, self.ignored = event_writer.taken, event_writer.ignored
        if event_writer.unknown_workers:
            worker_poller.ask(event_writer.unknown_workers)
            event_writer.unknown_workers = set()


def _all(queue: SimpleQueue[T]) -> list[T]:
    # Nobody else takes from it, so what it holds now it also has to give.
    return [queue.get() for _ in range(queue.qsize())]


def _machine(connection: Connection) -> dict[str, Any]:
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "celery": celery.__version__,
        "kombu": kombu.__version__,  # type: ignore[attr-defined] # unlike celery-types
        "rabbitmq": connection.default_channel.connection.server_properties.get("version"),  # type: ignore[attr-defined] # unlike celery-types
    }
