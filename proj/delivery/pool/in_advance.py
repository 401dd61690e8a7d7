"""Tasks in advance: written to the pipes of busy pool processes, and taken back while no process has read them.

A process that ends a task then has the next one at once. Otherwise it sleeps until the main process has read the result
and written the next task, and to wake each of them takes longer than a short task.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proj.delivery.pool import packets, pipes
from proj.delivery.pool.stock import process_of, reader_of, writer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.pool.stock import Job, Pipe, PoolProcess, WritingLoop

logger = logging.getLogger(__name__)

#: Tasks in one pipe at most, besides the one that its process runs. Those that end before the worker's main process has
#: read their results are run again when it is killed. A pipe of Linux has room for 16 packets.
MOST = 8


def _is_any(_job: object) -> bool:
    """Every task is meant."""
    return True


class AsynPool(pipes.AsynPool):
    """Celery's pool of processes, which can write tasks in advance when it is asked to."""

    Worker = packets.Worker

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Make the pool of Celery's arguments."""
        #: The tasks in each pipe that were written in advance and are not known to have begun, the oldest first.
        self._in_advance: defaultdict[int, deque[Job]] = defaultdict(deque)
        #: Pipes to processes that were given a task of one packet, and no other since they were free.
        self._small: set[int] = set()
        #: Whether the system can take tasks back.
        self._can_take_back = True
        #: Called with a task that was written in advance and is its process's next one.
        self.on_next: Callable[[Job], None] = _ignore
        super().__init__(*args, **kwargs)

    def create_process_queues(self) -> tuple[Pipe, Pipe, Pipe | None]:
        """Make the pipes to one process, and from it."""
        queues = super().create_process_queues()
        inq = queues[0]
        kept = packets.keep_apart(reader_of(inq).fileno(), writer_of(inq).fileno())
        self._can_take_back = self._can_take_back and kept
        return queues

    def _create_process_handlers(self, hub: object) -> None:
        super()._create_process_handlers(hub)
        stock = self.on_process_down

        def on_process_down(process: PoolProcess) -> None:
            try:
                stock(process)
            finally:
                # It may raise what ends the worker, which runs on for a while.
                self._forget(process.inqW_fd)

        self.on_process_down = on_process_down

    def _create_write_handlers(self, hub: WritingLoop) -> None:
        super()._create_write_handlers(hub)
        put, close = self._quick_put, self.on_inqueue_close

        def put_and_note(job: tuple[int, tuple[Any, ...]]) -> None:
            others_wait = bool(self.outbound_buffer)
            put(job)
            result = self._cache[job[1][0]]
            process = process_of(result)
            if process is not None and not others_wait and _packet_of(result) is not None:
                self._small.add(process.inqW_fd)

        def on_inqueue_close(fd: int, process: PoolProcess) -> None:
            self._forget(fd)
            close(fd, process)

        self._quick_put = put_and_note
        self.on_inqueue_close = on_inqueue_close

    def on_job_ready(self, job: int, i: int, obj: object, inqW_fd: int) -> None:  # noqa: N803 Celery's names
        """A process has ended a task; it goes on with the next one in its pipe, or is free."""
        following = self._in_advance.get(inqW_fd)
        if following:
            self.on_next(following.popleft())
            return
        self._small.discard(inqW_fd)
        super().on_job_ready(job, i, obj, inqW_fd)

    @property
    def has_room(self) -> bool:
        """Whether one more task can be written in advance."""
        return self._can_take_back and not self.outbound_buffer and self._emptiest() is not None

    def write_in_advance(self, job: Job) -> bool:
        """Write a task that no process is free for; whether it was. Otherwise it waits for a free process."""
        fd = self._emptiest()
        if fd is None or job not in self.outbound_buffer or (packet := _packet_of(job)) is None:
            return False
        try:
            os.write(fd, packet)
        except OSError:
            # The pipe is full, or its process has ended.
            return False
        self.outbound_buffer.remove(job)
        process = self._fileno_to_inq[fd]
        job._write_to, job._scheduled_for, job._writer = process, process, _no_writer  # noqa: SLF001 no public names
        self.write_stats[process.index] += 1
        self._in_advance[fd].append(job)
        return True

    def take_back(self, wanted: Callable[[Job], bool] = _is_any) -> list[Job]:
        """Take back the tasks that no process has read, written or not; the pool forgets them.

        Args:
            wanted: whether to take back this one; all unless given.
        """
        taken = [job for job in self.outbound_buffer if wanted(job)]
        for job in taken:
            self.outbound_buffer.remove(job)
        for fd in tuple(self._in_advance):
            taken += self._take_from(fd, wanted=wanted)
        for job in taken:
            job.discard()
        return taken

    def move_one(self) -> bool:
        """Give a free process the next task of another one; whether there was one."""
        free = self._all_inqueues - self._busy_workers - self._active_writes
        if not free or self.outbound_buffer:
            return False
        for fd in sorted(self._in_advance, key=lambda fd: -len(self._in_advance[fd])):
            for job in self._take_from(fd, most=1):
                target = free.pop()
                self.outbound_buffer.append(job)
                self.write_to([target])
                self._small.add(target)
                self.on_next(job)
                return True
        return False

    def end_advance(self) -> None:
        """Let the processes begin nothing more than what they run; also from a signal handler, before a cold shutdown.

        Nobody waits for these tasks then. Their messages are given back with the others.
        """
        for fd, waiting in tuple(self._in_advance.items()):
            process = self._fileno_to_inq.get(fd)
            # In other pipes there may be the half of a large task.
            if process is not None and waiting:
                with suppress(OSError):
                    packets.take_back(reader_of(process.inq).fileno(), MOST + 1)

    def flush(self) -> None:
        """Take back what was written in advance, and flush the pool as Celery does."""
        self.take_back()
        super().flush()
        for fd in tuple(self._in_advance):
            self._forget(fd)

    def _emptiest(self) -> int | None:
        """The pipe with the fewest tasks in advance that can take one more."""
        fds = (self._small & self._fileno_to_inq.keys()) - self._active_writes
        fd = min(fds, key=lambda fd: len(self._in_advance[fd]), default=None)
        return None if fd is None or len(self._in_advance[fd]) >= MOST else fd

    def _take_from(self, fd: int, most: int = MOST + 1, wanted: Callable[[Job], bool] = _is_any) -> list[Job]:
        """Take the oldest tasks that were written in advance out of a pipe; its process may have read some of them."""
        waiting, process = self._in_advance[fd], self._fileno_to_inq.get(fd)
        if not waiting or process is None:
            return []
        try:
            found = packets.take_back(reader_of(process.inq).fileno(), most)
        except OSError as error:
            # There may be no free descriptor. The process runs them.
            logger.warning("No task can be taken back: %s.", error, extra={"action": "tasks_not_taken_back"})
            return []
        taken = []
        for packet in found:
            job = next((job for job in waiting if _packet_of(job) == memoryview(packet)), None)
            if job is None or not wanted(job):
                # It may be the task that the process is to begin, or what tells it to end.
                os.write(fd, packet)
            else:
                waiting.remove(job)
                taken.append(job)
        return taken

    def _forget(self, fd: int) -> None:
        """Forget what was written to a pipe: its process has ended, or the pool was flushed."""
        self._in_advance.pop(fd, None)
        self._small.discard(fd)


def _packet_of(job: Job) -> memoryview | None:
    """The task as it is written at a time; None when its body is written after its header."""
    header, _body, left = job._payload  # noqa: SLF001 no public name
    return None if left else header


def _no_writer() -> None:
    """Stands in for the reference to a generator that writes a task: nothing is left to write."""


def _ignore(_job: object) -> None:
    """Nobody asks for tasks in advance."""
