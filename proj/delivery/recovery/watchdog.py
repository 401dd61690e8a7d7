"""The watchdog: notices that a worker's main thread is stuck in a broker connection, and makes it reconnect or end.

The main thread can wait for ever inside a read or a write of a connection whose other end is gone: a load balancer or a
NAT table has forgotten it, perhaps in the middle of the handshake (celery#9705 and its kin). The watchdog sees from a
thread of its own that the main thread does not leave that call. It shuts the socket down, which ends the call with an
error on which Celery reconnects. If that does not help, it ends the process, for its supervisor to start it again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from celery import bootsteps

from proj.broker.frame_reader import FrameReader
from proj.delivery.recovery.silence import INTERVALS, silence_limit_s
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from celery import Celery

logger = logging.getLogger(__name__)

#: Seconds between two looks at the main thread, at most: while it is in a call, and while it is in none.
LOOK_S, REST_S = 2.0, 10.0
#: The same, as shares of the limit: an idle worker wakes up for each look.
_LOOK_SHARE, _REST_SHARE = 0.25, 0.5
#: The exit code of a worker that did not recover: EX_TEMPFAIL of sysexits.h.
EXIT_STUCK = 75
#: The module in which py-amqp reads and writes its sockets.
TRANSPORT_MODULE = "amqp.transport"
#: What reads the socket that a worker consumes from.
_RECEIVE = FrameReader._receive.__code__  # noqa: SLF001 only this part of it may take long


class Worker(Protocol):
    """What the bootstep needs of Celery's `WorkController`."""

    app: Celery


class TransportCall(NamedTuple):
    """A call that reads or writes a socket of py-amqp; equal for as long as it makes no progress."""

    #: The frame itself and not its address, which the next call may have again.
    frame: FrameType
    #: The index of its last instruction.
    instruction: int
    #: Bytes that it has read.
    received: int
    transport: object


def transport_call(frame: FrameType | None) -> TransportCall | None:
    """The innermost call that reads or writes a socket on the stack that `frame` is the top of; None without one."""
    while frame is not None:
        is_transport = frame.f_globals.get("__name__") == TRANSPORT_MODULE and "self" in frame.f_locals
        if is_transport or frame.f_code is _RECEIVE:
            variables = frame.f_locals
            return TransportCall(frame, frame.f_lasti, len(variables.get("rbuf", b"")), variables["self"])
        frame = frame.f_back
    return None


class CallTimer:
    """Measures how long a thread has been in the same call."""

    def __init__(self) -> None:
        """Start with no call."""
        self._call: TransportCall | None = None
        self._since = 0.0

    def seconds(self, call: TransportCall | None, now: float) -> float:
        """Seconds since the thread was first seen in `call`; 0 when it is in none, or in another than before."""
        if call is None or self._call is None or call != self._call:
            self._call, self._since = call, now
        return now - self._since if call is not None else 0.0


class Watchdog(Service):
    """Watches the thread that starts it, from a thread of its own."""

    def __init__(self, limit_s: float, *, end: Callable[[int], None] = os._exit) -> None:
        """Let no call of the transport last longer than `limit_s` seconds; `end` ends the process with an exit code."""
        self._limit_s = limit_s
        self._end = end
        self._watched = threading.get_ident()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch the calling thread."""
        self._watched = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; safe to call twice and before `start`."""
        self._stopping.set()

    def _run(self) -> None:
        timer = CallTimer()
        closed = False
        look_s = min(LOOK_S, self._limit_s * _LOOK_SHARE)
        rest_s = min(REST_S, self._limit_s * _REST_SHARE)
        pause_s = rest_s
        while not self._stopping.wait(pause_s):
            call = transport_call(sys._current_frames().get(self._watched))  # noqa: SLF001 its only name
            pause_s = rest_s if call is None else look_s
            seconds = timer.seconds(call, time.monotonic())
            if call is None or seconds < self._limit_s:
                closed = closed and seconds > 0
                continue
            if not closed:
                logger.error(
                    "The broker has not answered for %.0f s. Closing the connection, so that the worker reconnects.",
                    seconds,
                    extra={"action": "silent_connection_closed"},
                )
                _shut_down(call.transport)
                closed = True
            elif seconds >= INTERVALS * self._limit_s:
                logger.critical(
                    "The worker did not reconnect after its connection was closed. Ending it with exit code %d; its "
                    "supervisor should start it again.",
                    EXIT_STUCK,
                    extra={"action": "stuck_worker_ended"},
                )
                logging.shutdown()
                self._end(EXIT_STUCK)
                return
            # A reference would keep the socket of a connection that is gone.
            del call


def _shut_down(transport: object) -> None:
    sock = getattr(transport, "sock", None)
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("The socket was not shut down: %s", error, extra={"action": "socket_not_shut_down"})


class WatchConnections(bootsteps.StartStopStep):
    """Runs a watchdog over the worker's main thread."""

    requires = ("celery.worker.components:Pool",)
    label = "Watchdog"

    def __init__(self, worker: Worker, **options: object) -> None:
        """Prepare the watchdog; the worker's heartbeat decides how long a call may last."""
        super().__init__(worker, **options)
        self._watchdog = Watchdog(silence_limit_s(worker.app.conf.broker_heartbeat))

    def start(self, _: Worker) -> None:
        """Start it with the pool, before the first connection: a handshake can hang too."""
        self._watchdog.start()

    def stop(self, _: Worker) -> None:
        """Keep it running: the acknowledgements of a warm shutdown may meet a dead connection too."""

    def terminate(self, _: Worker) -> None:
        """As `stop`."""
