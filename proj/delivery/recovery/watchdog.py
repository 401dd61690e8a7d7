"""The watchdog: notices that a worker is alive and does nothing, and makes it connect again or end.

Two things make a worker idle for ever without a word (celery#9705 and its kin):

- Its main thread waits inside a read or a write of a broker connection of which the other end is gone: a load
  balancer or NAT table forgot it, in the middle of a handshake too. The watchdog sees from a thread of its own that
  the main thread has not left that call, and shuts the socket, which ends the call with an error that Celery mends
  by connecting again. Should that not help, it ends the process, for its supervisor to start it again.
- The broker has no consumer of it, though it believes to be one. It asks the broker now and then, and connects again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import bootsteps

from proj.delivery.recovery.silence import BEATS, limit_s
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

logger = logging.getLogger(__name__)

#: Seconds between two looks at the main thread.
LOOK_S = 0.5
#: The exit code of a worker that could not be helped: EX_TEMPFAIL of sysexits.h.
EXIT_STUCK = 75
#: Where py-amqp reads and writes its sockets; a contract test holds it.
TRANSPORT_MODULE = "amqp.transport"


class Call(NamedTuple):
    """A call of the transport in which a thread is."""

    #: The frame itself and not its address, which the next call may have again.
    frame: FrameType
    #: Where in it the thread is, and how much it has read: the same for as long as nothing goes on.
    instruction: int
    received: int
    transport: Any


def transport_call(frame: FrameType | None) -> Call | None:
    """The innermost call of py-amqp's transport on a thread's stack; None when it is in none."""
    while frame is not None:
        if frame.f_globals.get("__name__") == TRANSPORT_MODULE and "self" in frame.f_locals:
            held = frame.f_locals
            return Call(frame, frame.f_lasti, len(held.get("rbuf", b"")), held["self"])
        frame = frame.f_back
    return None


class Stuck:
    """How long a thread has been in one and the same call."""

    def __init__(self) -> None:
        """Begin with none."""
        self._call: Call | None = None
        self._since = 0.0

    def seconds(self, call: Call | None, now: float) -> float:
        """Seconds that it has been in `call`, seen again and again; 0 when it is in none or in another."""
        if call is None or self._call is None or call != self._call:
            self._call, self._since = call, now
        return now - self._since if call is not None else 0.0


class Watchdog(Service):
    """Looks at the thread that starts it, from a thread of its own."""

    def __init__(self, limit_s: float, *, end: Callable[[int], None] = os._exit) -> None:
        """Let no call of the transport last longer than `limit_s`; `end` ends the process with an exit code."""
        self._limit_s = limit_s
        self._end = end
        self._watched = threading.get_ident()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._watched = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """Look no more; safe to call twice and before `start`."""
        self._ending.set()

    def _run(self) -> None:
        stuck = Stuck()
        shut = False
        while not self._ending.wait(LOOK_S):
            call = transport_call(sys._current_frames().get(self._watched))  # noqa: SLF001 its only name
            seconds = stuck.seconds(call, time.monotonic())
            if call is None or seconds < self._limit_s:
                shut = shut and seconds > 0
                continue
            if not shut:
                logger.error(
                    "The broker has not answered for %.0f s; closing the connection to connect again.", seconds
                )
                _shut(call.transport)
                shut = True
            elif seconds >= BEATS * self._limit_s:
                logger.critical("Closing the connection did not help; ending, to be started again.")
                logging.shutdown()
                self._end(EXIT_STUCK)
                return
            # A reference would keep the socket of a connection that is gone.
            del call


def _shut(transport: Any) -> None:  # noqa: ANN401 py-amqp's transport
    sock = getattr(transport, "sock", None)
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("The socket could not be shut: %s", error)


class WatchConnections(bootsteps.StartStopStep):
    """Runs a watchdog over the worker's main thread."""

    requires = ("celery.worker.components:Pool",)
    label = "Watchdog"

    def __init__(self, worker: Any, **options: Any) -> None:  # noqa: ANN401 Celery's worker
        """Prepare it; the worker's heartbeat says how long is too long."""
        super().__init__(worker, **options)
        self._watchdog = Watchdog(limit_s(worker.app.conf.broker_heartbeat))

    def start(self, worker: Any) -> None:  # noqa: ANN401, ARG002 Celery's signature
        """Begin with the pool, before the first connection: a handshake too may freeze."""
        self._watchdog.start()

    def stop(self, worker: Any) -> None:  # noqa: ANN401 Celery's signature
        """Go on: the acknowledgements of a warm shutdown may meet a dead connection too."""

    def terminate(self, worker: Any) -> None:  # noqa: ANN401 Celery's signature
        """As `stop`."""
