"""The pipes of Celery's pool of processes, with fewer system calls for each task.

Celery writes a task when its loop next polls, and for that registers the pipe and removes it again. It reads each
message of a process in two calls, and registers the pipe anew after it. Here a task is written at once to a process
that is free, and all messages in a pipe are read together.
"""

from __future__ import annotations

import os
import pickle
import select
from typing import TYPE_CHECKING, Any

from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR  # type: ignore[attr-defined] # celery-types lacks it

from proj.delivery.pool import stock
from proj.delivery.pool.packets import SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: Bytes that are read at a time: what a pipe of Linux holds.
CHUNK = 65_536


class ResultHandler(stock.ResultHandler):
    """Celery's reader of what the processes send, which reads all messages of a pipe together."""

    def _make_process_result(self, hub: stock.ReadingLoop) -> Callable[[int], None]:
        """What the loop calls when a pipe is readable."""

        def on_result_readable(fd: int) -> None:
            try:
                # The process may be gone.
                chunk = os.read(fd, CHUNK) if fd in self.fileno_to_outq else b""
            except BlockingIOError:
                # Somebody has read the pipe before. Only while a message is half read does Celery wait for its end.
                return
            except OSError:
                chunk = b""
            if not chunk:
                hub.remove_reader(fd)
                return
            messages, begun = split(chunk)
            if begun:
                reading = self._read_end(hub, fd, begun)
                next(reading)
                # Celery ends the reading of such a message before the pool stops (`_finish_partial_read`).
                hub.add_reader(fd, reading)
            self._handle_all(iter(messages))

        return on_result_readable

    def _read_end(self, hub: stock.ReadingLoop, fd: int, data: bytes) -> Iterator[None]:
        """Yield while the end of a message is missing, of which `data` is the beginning; then handle it."""
        while True:
            yield
            try:
                chunk = os.read(fd, CHUNK)
            except BlockingIOError:
                continue
            if not chunk:
                raise EOFError
            messages, data = split(data + chunk)
            if not data:
                hub.add_reader(fd, self.handle_event, fd)
            self._handle_all(iter(messages))
            if not data:
                return

    def _handle_all(self, messages: Iterator[bytes]) -> None:
        """Handle all of them, also after one that failed: a connection may be lost, and nobody sends them again."""
        try:
            for message in messages:
                if found := pickle.loads(message):  # noqa: S301 from a process of our own
                    self.on_state_change(found)
        except BaseException:
            self._handle_all(messages)
            raise


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages in what a pipe had, and the beginning of the next one."""
    messages = []
    begin = 0
    while len(data) - begin >= SIZE.size:
        (size,) = SIZE.unpack_from(data, begin)
        end = begin + SIZE.size + size
        if len(data) < end:
            break
        messages.append(data[begin + SIZE.size : end])
        begin = end
    return messages, data[begin:]


def in_one_write(header: memoryview, body: memoryview, size: int) -> tuple[memoryview, memoryview, int]:
    """What Celery writes of a task: its header, its body and the size of this.

    Celery writes a header until its 4 bytes are written, so it writes more of it as gladly. Only where the kernel takes
    all of it or nothing. Source: POSIX, write, PIPE_BUF
    """
    if len(header) + size > select.PIPE_BUF:
        return header, body, size
    return memoryview(bytes(header) + bytes(body)), memoryview(b""), 0


class AsynPool(stock.AsynPool):
    """Celery's pool of processes, which writes a task at once where a process is free."""

    ResultHandler = ResultHandler

    #: Writes the tasks that wait to these pipes, one each.
    write_to: Callable[[list[int]], None]

    def _create_write_handlers(self, hub: stock.WritingLoop) -> None:
        """Make Celery's handlers, and put these around them."""
        loop = _Writers(hub)
        super()._create_write_handlers(loop)
        hub.consolidate_callback = loop.consolidate_callback
        if self.sched_strategy != SCHED_STRATEGY_FAIR:
            return
        put, write, watch = self._quick_put, loop.consolidate_callback, self.on_poll_start
        self.write_to = write
        watches = False

        def put_and_write(job: tuple[int, tuple[Any, ...]]) -> None:
            put(job)
            result = self._cache[job[1][0]]
            result._payload = in_one_write(*result._payload)  # noqa: SLF001 no public name
            free = self._all_inqueues - self._busy_workers - self._active_writes
            if free:
                write([free.pop()])

        def on_poll_start() -> None:
            """Watch for pipes that can be written to only while tasks wait; Celery takes them all out at every turn."""
            nonlocal watches
            if self.outbound_buffer or watches:
                watches = bool(self.outbound_buffer)
                watch()

        self._quick_put = put_and_write
        self.on_poll_start = on_poll_start


class _Writers:
    """The loop as the pool sees it: a pipe that is not watched for writing is not removed once more."""

    writers: Collection[int]
    consolidate: Collection[int]
    consolidate_callback: Callable[[list[int]], None]

    def __init__(self, hub: stock.WritingLoop) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> object:
        """Whatever else the loop has."""
        return getattr(self._hub, name)

    def remove_writer(self, fd: int) -> None:
        if fd in self._hub.writers or fd in self._hub.consolidate:
            self._hub.remove_writer(fd)
