"""Recording session: consumes the event queue of an open journal, and acknowledges events once they are on the disk."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from proj.journal.recording.event_queue import KEPT_S
from proj.journal.recording.event_writer import EventWriter
from proj.journal.recording.pollers import DepthPoller, WorkerPoller
from proj.journal.records import Gap

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from queue import SimpleQueue

    from celery import Celery
    from kombu import Connection, Message

    from proj.broker.queue_depths import QueueDepths
    from proj.journal.recording.event_queue import EventQueue, QueueState
    from proj.journal.writer import JournalWriter

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: The prefetch count: the most messages that are in memory and not acknowledged.
PREFETCH = 500
#: Events after which they are written at once.
BATCH = 10 * PREFETCH
#: Seconds between two commits while events come. A silence of this length ends the session when its end was asked for.
BATCH_S = 0.25
#: Seconds after which the session ends although events still come.
LAST_S = 5.0
#: The key of the note with the name of the event queue.
QUEUE_NOTE = "queue"
#: The key of the note with the time until which events were recorded, in seconds since the epoch.
RECORDED_NOTE = "heard"


class RecordingSession:
    """One open journal with its event queue, its pollers, and the events that are not written yet."""

    def __init__(
        self,
        app: Celery,
        writer: JournalWriter,
        queue: EventQueue,
        queue_depths: QueueDepths,
        *,
        run: str | None = None,
        on_written: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Record the events in `queue` with `writer`; new attempts belong to `run`.

        `on_written` is called with the number of all written events when some were.
        """
        self._on_written = on_written
        self._writer = writer
        self._queue = queue
        self._event_writer = EventWriter(writer, run=run)
        self._depth_poller = DepthPoller(queue_depths, without=queue.name)
        self._worker_poller = WorkerPoller(app)
        self._accept = {app.conf.event_serializer, "json"}
        self._events: list[tuple[float, object]] = []
        self._last: Message | None = None

    @property
    def written(self) -> int:
        """Events that were written."""
        return self._event_writer.written

    @property
    def ignored(self) -> int:
        """Events that were malformed, or neither of a task nor of a worker."""
        return self._event_writer.ignored

    def begin(self, connection: Connection, *, down_since: float | None) -> None:
        """Declare the event queue, so that no further event is missed, and write the gap before it, if there is one.

        `down_since` is the time at which an earlier connection of this session was lost, in seconds since the epoch.
        """
        state = self._queue.declare(connection)
        journal = self._writer.journal
        gap = missed(
            state,
            known=journal.note(QUEUE_NOTE) == self._queue.name,
            recorded_until=float(journal.note(RECORDED_NOTE) or 0),
            now=time.time(),
            down_since=down_since,
        )
        if gap is not None:
            self._writer.put_gaps([gap])
        self._writer.put_note(QUEUE_NOTE, self._queue.name)
        self._writer.commit()

    def consume(self, connection: Connection, ending: threading.Event) -> None:
        """Record events until `ending` is set and the queue is empty, or `LAST_S` seconds longer at most."""
        # Only now, because without a broker they would delay the error that says so. A second start does nothing.
        self._depth_poller.start()
        self._worker_poller.start()
        with (
            connection.channel() as channel,
            connection.Consumer(
                [self._queue.bound(connection)(channel)],
                channel=channel,
                on_message=self._receive,
                accept=self._accept,
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
                if quiet or len(self._events) >= BATCH or time.monotonic() - written >= BATCH_S:
                    self.write()
                    if self._last is not None:
                        self._last.ack(multiple=True)
                        self._last = None
                    connection.heartbeat_check()
                    written = time.monotonic()
                if ending.is_set():
                    if quiet:
                        return
                    deadline = deadline or time.monotonic() + LAST_S

    def write(self) -> None:
        """Write and commit the events, depths and workers that came since the last call."""
        workers, samples = _all(self._worker_poller.workers), _all(self._depth_poller.samples)
        if self._events or workers or samples:
            self._event_writer.write_workers(workers)
            self._event_writer.write(self._events)
            self._writer.put_samples(samples)
            self._writer.put_note(RECORDED_NOTE, repr(time.time()))
            self._writer.commit()
            self._events.clear()
            self._on_written(self.written)
        if self._event_writer.unknown_workers:
            self._worker_poller.ask(self._event_writer.unknown_workers)
            self._event_writer.unknown_workers = set()

    def disconnected(self) -> None:
        """Write what came over a connection that was lost; its messages cannot be acknowledged any more.

        A broker that still runs delivers them again, which changes nothing in the journal. A broker that restarted has
        lost them.
        """
        self.write()
        self._last = None

    def end(self) -> None:
        """Stop the pollers; safe to call before `consume`."""
        self._depth_poller.stop()
        self._worker_poller.stop()

    def _receive(self, message: Message) -> None:
        now = time.time()
        try:
            body = message.payload
        except Exception as error:  # noqa: BLE001 anyone can publish a body that fails to decode in any way
            logger.debug("An event could not be decoded: %s", error, extra={"action": "malformed_event"})
            body = None
        for event in body if isinstance(body, list) else [body]:
            self._events.append((now, event))
        self._last = message


def missed(
    state: QueueState, *, known: bool, recorded_until: float, now: float, down_since: float | None
) -> Gap | None:
    """The gap in a journal whose event queue was found in `state` when it was declared; None if nothing is missing.

    `known` tells whether the journal was recorded from this queue before. Times are in seconds since the epoch.
    """
    if known and not state.existed:
        return Gap(began=recorded_until, ended=now, events=None, reason="The event queue was gone.")
    if known and down_since is not None:
        reason = "The broker was away. If it restarted, the events in its event queue were lost."
        return Gap(began=recorded_until, ended=now, events=None, reason=reason)
    if state.overflowed:
        reason = "The event queue overflowed while no recorder ran."
        return Gap(began=recorded_until or now, ended=now, events=None, reason=reason)
    if known and now - recorded_until > KEPT_S:
        reason = f"No recorder ran, and the event queue keeps events for {KEPT_S // 3600} hours only."
        return Gap(began=recorded_until, ended=now - KEPT_S, events=None, reason=reason)
    return None


def _all(queue: SimpleQueue[T]) -> list[T]:
    # Only this thread takes from the queue, so `get` never waits.
    return [queue.get() for _ in range(queue.qsize())]
