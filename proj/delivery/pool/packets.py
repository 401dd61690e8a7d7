"""Packets: pipes to pool processes from which a task that its process has not read can be taken back.

A pipe of Linux can keep what is written at a time apart (`O_DIRECT`, see pipe(2)). A read takes one such packet whole,
so a task is read by the process or by the worker's main process, and never by both.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import termios
import time
from array import array
from contextlib import suppress
from io import BytesIO
from struct import Struct
from typing import TYPE_CHECKING, Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined] # celery-types lacks it
from billiard.pool import EX_RECYCLE, READY
from billiard.reduction import dump

from proj.delivery.pool import stock
from proj.delivery.pool.stock import reader_of, unwrapped, writer_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: billiard's header of a message: its size.
SIZE = Struct(">i")
#: Seconds that a process may wait at its end until its results are read, as billiard's waits.
READ_TIMEOUT_S = 30.0
_LOOK_S = 0.02


def keep_apart(reader: int, writer: int) -> bool:
    """Let a pipe keep apart what is written to it at a time; whether the system can do this, and take packets back."""
    direct = getattr(os, "O_DIRECT", None)
    if direct is None:
        return False
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    try:
        os.close(_open_again(reader))
        fcntl.fcntl(writer, fcntl.F_SETFL, flags | direct)
    except OSError:
        return False
    return True


def are_kept_apart(writer: int) -> bool:
    """Whether the pipe does so."""
    direct = getattr(os, "O_DIRECT", None)
    return direct is not None and bool(fcntl.fcntl(writer, fcntl.F_GETFL) & direct)


def take_back(reader: int, most: int) -> list[bytes]:
    """Take the oldest packets out of a pipe, `most` at most.

    Raises:
        OSError: the pipe cannot be opened again.
    """
    fd = _open_again(reader)
    taken: list[bytes] = []
    try:
        with suppress(BlockingIOError):
            while len(taken) < most and (packet := os.read(fd, select.PIPE_BUF)):
                taken.append(packet)
    finally:
        os.close(fd)
    return taken


def _open_again(reader: int) -> int:
    """A descriptor of the same pipe from which this process alone reads without waiting.

    The pool's process has inherited the other one, and both have its flags in common.
    """
    return os.open(f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class Worker(stock.Worker):
    """What a pool process runs: it reads whole packets, and begins no task after the main process was killed.

    The result of a task and the news that the next one begins are written together, where this lies in the pipe.
    """

    outq: stock.Pipe | Results

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Remember the main process, which makes this."""
        super().__init__(*args, **kwargs)
        self._main_pid = os.getpid()

    def __call__(self) -> None:
        """Run tasks until the process ends."""
        if self._main_pid == os.getpid():
            # It was made here, because the process was not forked.
            self._main_pid = os.getppid()
        if are_kept_apart(writer_of(self.inq).fileno()):
            self.outq = Results(self.outq)
        super().__call__()

    def _make_recv_method(self, conn: stock.Pipe) -> Callable[[float], tuple[bool, object]]:
        results = self.outq
        if conn is not self.inq or not isinstance(results, Results):
            return super()._make_recv_method(conn)
        fd = reader_of(conn).fileno()
        without_waiting = _open_again(fd)

        def receive(_timeout: float) -> tuple[bool, object]:
            if results.lacked_memory:
                # What it does next may fail anywhere, and then hang. Another process takes what is in its pipe.
                raise SystemExit(EX_RECYCLE)
            try:
                packet = os.read(without_waiting, select.PIPE_BUF)
            except BlockingIOError:
                results.write()
                packet = os.read(fd, select.PIPE_BUF)
            message = whole_message(fd, packet)
            if os.getppid() != self._main_pid:
                # The broker has given the tasks in the pipe to other workers.
                raise SystemExit(1)
            return True, pickle.loads(message)  # noqa: S301 from the main process

        return receive

    def _ensure_messages_consumed(self, completed: int) -> bool:
        # billiard waits until the main process has counted each result. At a cold shutdown that process waits for this
        # one, in a signal handler, and may have read results that it counts afterwards. Both waited for 30 s.
        if isinstance(self.outq, Results):
            self.outq.write()
            # Nobody reads in time what a process writes that is told to end: a worker that goes on reads it when the
            # process has ended, and one that ends at once does not. It waited for the process, which waited for 60 s.
            if terminate_handler_fired() or self.outq.wait_until_read(READ_TIMEOUT_S):
                return True
        return super()._ensure_messages_consumed(completed)


class Results:
    """The pipe to the main process; it keeps a result until something else is written, or the process would wait."""

    def __init__(self, queue: stock.Pipe) -> None:
        """Write to that pipe."""
        self._writer = writer_of(queue)
        # Which billiard closes in the pool's process.
        self._reader = reader_of(queue)
        self._kept = b""
        #: Whether a task had no memory, or its result could not be pickled for lack of it.
        self.lacked_memory = False

    def put(self, message: tuple[int, Any]) -> None:
        """Write the message; a result is kept.

        Raises:
            Exception: the message cannot be pickled.
        """
        kind, contents = message
        if kind == READY and _lacked_memory(contents):
            self.lacked_memory = True
        try:
            dump(message, body := BytesIO())
        except MemoryError:
            self.lacked_memory = True
            raise
        self._kept += SIZE.pack(body.tell()) + body.getvalue()
        if kind != READY:
            self.write()

    def write(self) -> None:
        """Write what is kept."""
        kept, self._kept = self._kept, b""
        if kept:
            self._writer._send(kept)  # noqa: SLF001 no public name

    def wait_until_read(self, timeout_s: float) -> bool:
        """Wait until the main process has read all that was written; whether it has."""
        end = time.monotonic() + timeout_s
        while unread := _unread(self._writer.fileno()):
            if time.monotonic() > end:
                break
            # No event says that a pipe is empty.
            time.sleep(_LOOK_S)
        return not unread


def _unread(fd: int) -> int:
    """The bytes that wait in the pipe, by either end of it (FIONREAD, see pipe(7))."""
    count = array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _lacked_memory(contents: tuple[int, int | None, tuple[bool, Any], int]) -> bool:
    """Whether a task ended with a `MemoryError`; billiard tells its job, and whether it returned something."""
    is_returned, outcome = contents[2]
    # Of Celery's tracer: whether the task failed, what came of it, and its seconds.
    if is_returned and not outcome[0]:
        return False
    error = getattr(outcome[1] if is_returned else outcome, "exception", None)
    return isinstance(unwrapped(error), MemoryError)


def whole_message(fd: int, packet: bytes) -> bytes:
    """The message that begins with this packet from the pipe; a large one takes several.

    Raises:
        EOFError: nobody can write to the pipe any more.
    """
    data = packet
    size = SIZE.size
    while packet:
        if size == SIZE.size and len(data) >= size:
            size += SIZE.unpack_from(data)[0]
        if len(data) >= size > SIZE.size:
            return data[SIZE.size :]
        packet = os.read(fd, select.PIPE_BUF)
        data += packet
    raise EOFError
