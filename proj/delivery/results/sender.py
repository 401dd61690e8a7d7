"""The sender of a worker: a thread that publishes handed-over results, many at a time, each until it is confirmed.

It has a connection of its own, as the forwarder of messages has: a broker that is short of memory stops reading from a
connection that publishes.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from amqp.basic_message import Message
from celery.utils.log import get_logger

from proj.broker.connection import TRANSPORT_OPTIONS
from proj.broker.heartbeats import has_beaten, interval_s
from proj.delivery.broker_errors import queue_full
from proj.delivery.publishing.in_flight import InFlight
from proj.delivery.publishing.outgoing_message import OutgoingMessage, nack_from
from proj.delivery.settings import setting
from proj.errors import ProjError
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Celery
    from kombu import Connection

    from proj.delivery.publishing.amqp import ConfirmingAMQP
    from proj.delivery.publishing.producer import ConfirmingProducer
    from proj.delivery.results.attempt import Result

#: Seconds that the end of a worker waits for the last confirms.
LAST_CONFIRMS_S = 8.0
#: Seconds to wait after an error that nobody expected.
PAUSE_S = 1.0

logger = get_logger(__name__)


@dataclass(eq=False, slots=True, kw_only=True)
class _Outgoing(OutgoingMessage):
    """A result on its way."""

    #: Called when the broker has the last result of its task, or with the error when it will not have it.
    settled_by: Callable[[ProjError | None], None]
    #: Monotonic time since which it is to be published.
    since: float = field(default_factory=time.monotonic)


class Sender(Service):
    """Publishes results, and calls back in the worker's loop when they are confirmed."""

    def __init__(self, app: Celery) -> None:
        """Connect when there is something to publish."""
        self._app = app
        self._inbox: deque[_Outgoing] = deque()
        #: What `settle` has to call.
        self._settled: deque[tuple[Callable[[ProjError | None], None], ProjError | None]] = deque()
        #: A pipe that wakes this thread, and one that wakes the worker's loop.
        self._wake = _Bell()
        self._done = _Bell()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._pending = 0

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="result-sender", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = LAST_CONFIRMS_S) -> None:
        """Wait until all results are confirmed, and end; call `settle` after that."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping = True
        self._wake.ring()
        thread.join(timeout_s)
        if thread.is_alive():
            logger.warning(
                "%d results were not confirmed within %g s. The tasks that they belong to are done again.",
                self._pending,
                timeout_s,
                extra={"action": "results_abandoned", "results": self._pending},
            )

    def fileno(self) -> int:
        """A file descriptor that is readable when `settle` has something to do."""
        return self._done.fileno()

    @property
    def waiting(self) -> int:
        """How many results wait for `wake`."""
        return len(self._inbox)

    def add(self, results: Iterable[Result], settled: Callable[[ProjError | None], None]) -> None:
        """Publish the results of one task, in this order, after the next `wake`.

        Args:
            results: one or more.
            settled: called by `settle` when the broker has all of them, or with the error of the first that it will not
                have.
        """
        waiting = list(results)
        settle_once = _Countdown(len(waiting), lambda error: self._settled.append((settled, error)))
        for result in waiting:
            message = Message(
                result.body,
                content_type=result.content_type,
                content_encoding=result.content_encoding,
                correlation_id=result.correlation_id,
                delivery_mode=result.delivery_mode,
                application_headers={},
                priority=0,
            )
            # Not mandatory: when the caller is gone, so is its queue.
            outgoing = _Outgoing(
                message=message, exchange="", routing_key=result.queue, mandatory=False, settled_by=settle_once
            )
            self._inbox.append(outgoing)

    def wake(self) -> None:
        """Let the thread publish what waits."""
        self._wake.ring()

    def settle(self) -> None:
        """Call back for all results that are confirmed or given up; in the worker's loop."""
        self._done.clear()
        while self._settled:
            settled, error = self._settled.popleft()
            settled(error)

    def _run(self) -> None:
        connection = self._app.connection_for_write(
            heartbeat=self._app.conf.broker_heartbeat,
            transport_options={**TRANSPORT_OPTIONS, "confirm_publish": False},
        )
        messages = self._begin(connection)
        while True:
            self._wake.clear()
            try:
                if added := [self._inbox.popleft() for _ in range(len(self._inbox))]:
                    messages.add(*added)
                self._pending = len(messages)
                if self._pending:
                    messages.wait(or_readable=self._wake.fileno())
                elif self._stopping:
                    break
                elif not self._wake.wait(interval_s(connection)):
                    _beat(connection)
            except ProjError as error:
                # The deadline has passed, or the broker refuses the login.
                self._report(messages)
                for outgoing in self._end(messages):
                    outgoing.settled_by(error)
                self._done.ring()
                messages = self._begin(connection)
            except Exception:  # whatever it was: without this thread no result would be sent any more
                logger.exception(
                    "Results could not be published. They are tried again.", extra={"action": "sender_failed"}
                )
                self._report(messages)
                self._inbox.extendleft(reversed(self._end(messages)))
                connection.collect(socket_timeout=1.0)
                time.sleep(PAUSE_S)
                messages = self._begin(connection)
            self._report(messages)
        connection.collect(socket_timeout=1.0)

    def _begin(self, connection: Connection) -> _Results:
        amqp = cast("ConfirmingAMQP", self._app.amqp)
        producer = amqp.Producer(connection, auto_declare=False)
        timeout_s = setting(self._app, "proj_publish_timeout_s")
        # A reply queue is on one node. While that is away, RabbitMQ 4.3 rejects its messages, as a full queue does.
        full_timeout_s = timeout_s if connection.alt else setting(self._app, "proj_queue_full_timeout_s")
        return _Results(producer, timeout_s=timeout_s, full_timeout_s=full_timeout_s)

    def _end(self, messages: _Results) -> list[_Outgoing]:
        left = [cast("_Outgoing", outgoing) for outgoing in messages.unsettled()]
        messages.close()
        for outgoing in left:
            outgoing.settled, outgoing.returned = False, None
        return left

    def _report(self, messages: _Results) -> None:
        settled = messages.take_settled()
        for outgoing in settled:
            cast("_Outgoing", outgoing).settled_by(outgoing.refusal)
        messages.refused.clear()
        if settled:
            self._done.ring()


def _beat(connection: Connection) -> None:
    if not has_beaten(connection):
        # The next result connects again.
        connection.collect(socket_timeout=1.0)


class _Results(InFlight):
    """Results in flight, of which one whose reply queue is full does not keep the others for long."""

    #: Most results come alone, and none may wait for the next.
    collects = False

    def __init__(self, producer: ConfirmingProducer, *, timeout_s: float | None, full_timeout_s: float | None) -> None:
        super().__init__(producer, timeout_s=timeout_s)
        self._full_timeout_s = full_timeout_s

    def _write_later(self, outgoing: OutgoingMessage) -> None:
        result = cast("_Outgoing", outgoing)
        tried_s = time.monotonic() - result.since
        if self._full_timeout_s is not None and tried_s >= self._full_timeout_s:
            subject = f"the result of task {outgoing.task_id}"
            error = queue_full(subject, nack_from(outgoing), tried_s=tried_s, task_ids=(outgoing.task_id,))
            self._refuse(outgoing, error)
        else:
            super()._write_later(outgoing)


class _Bell:
    """A pipe that is readable after `ring` until `clear`."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._rung = False
        # The main thread rings, also in a signal handler that interrupted it here.
        self._lock = threading.RLock()

    def fileno(self) -> int:
        return self._read

    def ring(self) -> None:
        with self._lock:
            if not self._rung:
                self._rung = True
                os.write(self._write, b"\0")

    def clear(self) -> None:
        with self._lock:
            if self._rung:
                self._rung = False
                os.read(self._read, 1)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until it rings, for ever with None; whether it has rung."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


class _Countdown:
    """Calls `done` when it was called `count` times, with the first error."""

    def __init__(self, count: int, done: Callable[[ProjError | None], object]) -> None:
        self._left = count
        self._done = done
        self._error: ProjError | None = None

    def __call__(self, error: ProjError | None) -> None:
        self._left -= 1
        self._error = self._error or error
        if not self._left:
            self._done(self._error)
