"""The watchdog: notices that a worker's main thread is stuck in a broker connection, and makes it reconnect or end.

The main thread can wait for ever inside a read or a write of a connection whose other end is gone: a load balancer or a
NAT table has forgotten it, perhaps in the middle of the handshake (celery#9705 and its kin). The watchdog sees from a
thread of its own that the main thread does not leave that call. It shuts the socket down, which ends the call with an
error on which Celery reconnects. If that does not help, it ends the process, for its supervisor to start it again. A
process that `celery worker` has not started is not ended: there the worker is a thread among others, or runs in tests.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

import click
from celery import bootsteps
from celery.bin.worker import worker as worker_command

from proj.delivery.recovery.silence import INTERVALS, silence_limit_s
from proj.delivery.recovery.watched_stack import TransportCall, stack_of_caller, transport_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from proj.delivery.recovery.watched_stack import WatchedStack

logger = logging.getLogger(__name__)

#: Seconds between two looks at the main thread, at most: while it is in a call, and while it is in none.
LOOK_S, REST_S = 2.0, 10.0
#: The same, as shares of the limit: an idle worker wakes up for each look.
_LOOK_SHARE, _REST_SHARE = 0.25, 0.5
#: The exit code of a worker that did not recover: EX_TEMPFAIL of sysexits.h.
EXIT_STUCK = 75


class Worker(Protocol):
    """What the bootstep needs of Celery's `WorkController`."""

    app: Celery
    blueprint: bootsteps.Blueprint


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


class Watchdog:
    """Watches the thread or the greenlet that starts it, from a thread of its own."""

    def __init__(self, limit_s: float, *, ended: threading.Event, end: Callable[[int], None] | None = os._exit) -> None:
        """Let no call of the transport last longer than `limit_s` seconds, until `ended` is set.

        `end` ends the process with an exit code; with None the process is not this worker's to end.
        """
        self._limit_s = limit_s
        self._ended = ended
        self._end = end

    def start(self) -> None:
        """Begin to watch the calling thread, until it ends or `ended` is set."""
        threading.Thread(target=self._run, args=(stack_of_caller(),), name="watchdog", daemon=True).start()

    def _run(self, stack: WatchedStack) -> None:
        timer = CallTimer()
        closed = is_reported = False
        look_s = min(LOOK_S, self._limit_s * _LOOK_SHARE)
        rest_s = min(REST_S, self._limit_s * _REST_SHARE)
        pause_s = rest_s
        while not self._ended.wait(pause_s) and not stack.has_ended:
            call = transport_call(stack.top())
            pause_s = rest_s if call is None else look_s
            seconds = timer.seconds(call, time.monotonic())
            if call is None or seconds < self._limit_s:
                closed = closed and seconds > 0
                is_reported = closed and is_reported
                continue
            if not closed:
                logger.error(
                    "The broker has not answered for %.0f s. Closing the connection, so that the worker reconnects.",
                    seconds,
                    extra={"action": "silent_connection_closed"},
                )
                _shut_down(call.transport)
                closed = True
            elif seconds >= INTERVALS * self._limit_s and not is_reported:
                self._give_up()
                is_reported = True
            # A reference would keep the socket of a connection that is gone.
            del call

    def _give_up(self) -> None:
        if self._end is None:
            logger.critical(
                "The worker did not reconnect after its connection was closed. Its process was not started by the "
                "command `celery worker`, so it is not ended. Start the worker again.",
                extra={"action": "stuck_worker_left"},
            )
            return
        logger.critical(
            "The worker did not reconnect after its connection was closed. Ending it with exit code %d; its "
            "supervisor should start it again.",
            EXIT_STUCK,
            extra={"action": "stuck_worker_ended"},
        )
        logging.shutdown()
        self._end(EXIT_STUCK)


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

    def start(self, worker: Worker) -> None:
        """Start it with the pool, before the first connection: a handshake can hang too.

        It watches until the worker has ended: the acknowledgements of a warm shutdown may meet a dead connection too.
        """
        Watchdog(
            silence_limit_s(worker.app.conf.broker_heartbeat),
            ended=worker.blueprint.shutdown_complete,
            end=os._exit if is_command() else None,
        ).start()


def is_command() -> bool:
    """Whether the calling thread runs the command `celery worker`; then the process is the worker's."""
    context = click.get_current_context(silent=True)
    return context is not None and context.command is worker_command
