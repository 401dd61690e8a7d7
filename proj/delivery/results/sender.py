"""The sender of a worker: a thread that publishes handed-over results, many at a time, until each is confirmed or lost.

A task's message waits for the confirm of its result. When the reply queue does not take the result, the message waits
for `KEPT_S` seconds only, and the result is tried further without it.

The sender has a connection of its own, as the forwarder of messages has: a broker that is short of memory stops reading
from a connection that publishes.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from amqp.basic_message import Message
from celery.utils.log import get_logger

from proj.broker.connection import TRANSPORT_OPTIONS
from proj.broker.heartbeats import has_beaten, interval_s
from proj.delivery.results.attempt import STARTED_WITHIN_S
from proj.delivery.results.outgoing_result import OutgoingResult
from proj.delivery.results.results_in_flight import ResultsInFlight
from proj.delivery.settings import setting
from proj.errors import ProjError
from proj.printable import printable
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Celery
    from kombu import Connection

    from proj.delivery.publishing.amqp import ConfirmingAMQP
    from proj.delivery.results.attempt import Result

#: Seconds that the end of a worker waits for the last confirms.
LAST_CONFIRMS_S = 8.0
#: Seconds to wait after an error that nobody expected.
PAUSE_S = 1.0

logger = get_logger(__name__)


class Sender(Service):
    """Publishes results, and calls back in the worker's loop when they are confirmed."""

    def __init__(self, app: Celery, on_lost: Callable[[], object]) -> None:
        """Connect when there is something to publish; `on_lost` is called for each lost result, on the thread."""
        self._app = app
        self._on_lost = on_lost
        self._inbox: deque[OutgoingResult] = deque()
        #: What `settle` has to call.
        self._settled: deque[Callable[[], None]] = deque()
        #: A pipe that wakes this thread, and one that wakes the worker's loop.
        self._wake = _Bell()
        self._done = _Bell()
        self._thread: threading.Thread | None = None
        self._stopping = False
        #: Results that are neither confirmed nor lost, and those of them whose tasks' messages do not wait.
        self._pending = self._without_message = 0

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
                "%d results were not confirmed within %g s. The messages of %d of them were acknowledged before, so "
                "these are lost; the other tasks run again.",
                self._pending,
                timeout_s,
                self._without_message,
                extra={"action": "results_abandoned", "results": self._pending, "lost": self._without_message},
            )

    @property
    def is_running(self) -> bool:
        """Whether it publishes what is added."""
        return self._thread is not None

    def fileno(self) -> int:
        """A file descriptor that is readable when `settle` has something to do."""
        return self._done.fileno()

    @property
    def waiting(self) -> int:
        """How many results wait for `wake`."""
        return len(self._inbox)

    def add(self, results: Iterable[Result], settled: Callable[[], None]) -> None:
        """Publish the results of one task, in this order, after the next `wake`.

        Args:
            results: one or more.
            settled: called by `settle` when the message of the task need not wait for any of them: the broker has it,
                it is lost, or its reply queue did not take it for `KEPT_S` seconds.
        """
        waiting = list(results)
        settle_once = _Countdown(len(waiting), lambda: self._settled.append(settled))
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
            outgoing = OutgoingResult(
                message=message, exchange="", routing_key=result.queue, mandatory=False, let_go=settle_once
            )
            if result.after_started:
                outgoing.not_before = outgoing.since + STARTED_WITHIN_S
            self._inbox.append(outgoing)

    def wake(self) -> None:
        """Let the thread publish what waits."""
        self._wake.ring()

    def settle(self) -> None:
        """Call back for all tasks that need not wait for their results any more; in the worker's loop."""
        self._done.clear()
        while self._settled:
            self._settled.popleft()()

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
                if messages.count:
                    messages.wait(or_readable=self._wake.fileno())
                elif self._stopping:
                    break
                elif not self._wake.wait(interval_s(connection)):
                    _beat(connection)
                self._report(messages)
            except ProjError as error:
                # The deadline has passed, or the broker refuses the login.
                self._take_settled(messages)
                for result in self._end(messages):
                    self._lose(result, error.message)
                self._done.ring()
                messages = self._begin(connection)
            except Exception:  # whatever it was: without this thread no result would be sent any more
                logger.exception(
                    "Results could not be published. They are tried again.", extra={"action": "sender_failed"}
                )
                self._take_settled(messages)
                self._inbox.extendleft(reversed(self._end(messages)))
                connection.collect(socket_timeout=1.0)
                time.sleep(PAUSE_S)
                messages = self._begin(connection)
        connection.collect(socket_timeout=1.0)

    def _begin(self, connection: Connection) -> ResultsInFlight:
        amqp = cast("ConfirmingAMQP", self._app.amqp)
        producer = amqp.Producer(connection, auto_declare=False)
        return ResultsInFlight(producer, timeout_s=setting(self._app, "proj_publish_timeout_s"))

    def _end(self, messages: ResultsInFlight) -> list[OutgoingResult]:
        left = messages.all_left()
        messages.close()
        for outgoing in left:
            outgoing.settled, outgoing.returned = False, None
        return left

    def _report(self, messages: ResultsInFlight) -> None:
        self._take_settled(messages)
        to_let_go, lost = messages.look()
        for result in to_let_go:
            self._let_go(result)
            self._without_message += 1
        for result, reason in lost:
            self._lose(result, reason)
        self._pending = messages.count
        if to_let_go or lost:
            self._done.ring()

    def _take_settled(self, messages: ResultsInFlight) -> None:
        settled = cast("list[OutgoingResult]", messages.take_settled())
        for result in settled:
            if result.refusal is None:
                self._settle(result)
            else:
                self._lose(result, result.refusal.message)
        messages.refused.clear()
        if settled:
            self._done.ring()

    def _settle(self, result: OutgoingResult) -> None:
        self._without_message -= result.is_let_go
        self._let_go(result)

    def _let_go(self, result: OutgoingResult) -> None:
        if not result.is_let_go:
            result.is_let_go = True
            result.let_go()

    def _lose(self, result: OutgoingResult, reason: str) -> None:
        logger.error(
            "The task %s ran, and its result is lost: %s. Its message is settled as if the result had been sent.",
            printable(result.task_id),
            reason.rstrip("."),
            extra={"action": "result_not_stored"},
        )
        self._on_lost()
        self._settle(result)


def _beat(connection: Connection) -> None:
    if not has_beaten(connection):
        # The next result connects again.
        connection.collect(socket_timeout=1.0)


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
    """Calls `done` when it was called `count` times."""

    def __init__(self, count: int, done: Callable[[], object]) -> None:
        self._left = count
        self._done = done

    def __call__(self) -> None:
        self._left -= 1
        if not self._left:
            self._done()
