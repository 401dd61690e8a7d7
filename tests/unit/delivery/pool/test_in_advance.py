"""Tasks in the pipe of a busy pool process, without a worker: real pipes, and no processes."""

from __future__ import annotations

import os
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.pool import packets, pipes
from proj.delivery.pool.in_advance import MOST, AsynPool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="Only Linux has pipes of packets.")


class Pipe:
    """The pipe to one process, as billiard has it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        assert packets.keep_apart(self.reader, self.writer)
        self._reader = SimpleNamespace(fileno=lambda: self.reader)

    def read(self) -> bytes:
        return os.read(self.reader, 4096)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Job:
    """A task in the pool, as billiard has it."""

    def __init__(self, number: int) -> None:
        self._job = number
        self._payload = memoryview(f"task {number}".encode()), memoryview(b""), 0
        self.is_forgotten = False

    def discard(self) -> None:
        self.is_forgotten = True


class Pool(AsynPool):
    """The pool without processes: one pipe, whose process runs a task."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.outbound_buffer = deque()
        self.write_stats = {0: 0}
        self.nexts: list[Any] = []
        self.on_next = self.nexts.append
        self._can_take_back = True
        self._active_writes = set()
        self._busy_workers = {pipe.writer}
        self._mark_worker_as_available = self._busy_workers.discard
        self._all_inqueues = {pipe.writer}
        self._small = {pipe.writer}
        self._in_advance: Any = {pipe.writer: deque()}
        self._fileno_to_inq = {pipe.writer: SimpleNamespace(index=0, inq=pipe)}

    def give(self, number: int) -> Job:
        job = Job(number)
        self.outbound_buffer.append(job)
        assert self.write_in_advance(job)
        return job

    def forget_process(self) -> None:
        self._fileno_to_inq.clear()

    def handle_processes(self) -> None:
        self._create_process_handlers(None)

    @property
    def is_forgotten(self) -> bool:
        return not self._small and not self._in_advance

    @property
    def is_busy(self) -> bool:
        return self.pipe.writer in self._busy_workers

    def end_one(self) -> None:
        self.on_job_ready(0, 0, None, self.pipe.writer)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pipe = Pipe()
    yield Pool(pipe)
    pipe.close()


def test_no_more_tasks_are_written_in_advance_than_the_most(pool: Pool) -> None:
    """Those that end before the main process reads of it are run again when it is killed."""
    given = 0
    while pool.has_room:
        pool.give(given)
        given += 1

    assert given == MOST


def test_tasks_that_were_not_read_are_taken_back(pool: Pool) -> None:
    """The process has read the first; the pool forgets the others, and nothing is left in the pipe."""
    first, *others = (pool.give(number) for number in range(3))
    assert pool.pipe.read() == b"task 0"

    assert pool.take_back() == others
    assert [job.is_forgotten for job in (first, *others)] == [False, True, True]
    assert packets.take_back(pool.pipe.reader, 1) == []
    pool.end_one()
    assert pool.nexts == [first]


def test_what_else_is_in_the_pipe_stays_there(pool: Pool) -> None:
    """The task that a slow process is to begin, and what tells it to end."""
    os.write(pool.pipe.writer, b"the task that it is to begin")
    jobs = [pool.give(number) for number in range(MOST)]

    assert pool.take_back() == jobs
    assert pool.pipe.read() == b"the task that it is to begin"
    assert packets.take_back(pool.pipe.reader, 1) == []


def test_only_the_wanted_tasks_are_taken_back_and_the_others_keep_their_order(pool: Pool) -> None:
    """A revoked task is taken out from among others."""
    jobs = [pool.give(number) for number in range(3)]

    assert pool.take_back(lambda job: job is jobs[1]) == [jobs[1]]
    assert [pool.pipe.read(), pool.pipe.read()] == [b"task 0", b"task 2"]
    pool.end_one()
    pool.end_one()
    assert pool.nexts == [jobs[0], jobs[2]]


def test_process_is_free_when_it_has_ended_its_last_task(pool: Pool) -> None:
    """And not while its pipe has one more."""
    pool.give(1)

    pool.end_one()
    assert pool.is_busy
    pool.end_one()
    assert not pool.is_busy
    assert not pool.has_room


def test_without_a_free_descriptor_nothing_is_taken_back(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's loop goes on, and the process runs the tasks."""

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    pool.give(1)
    monkeypatch.setattr(packets, "_open_again", refuse)

    assert pool.take_back() == []
    assert pool.pipe.read() == b"task 1"


def test_nothing_is_written_for_a_process_that_is_gone(pool: Pool) -> None:
    """Its descriptor may be another's by now. It may have ended while the worker gave it a task, as at SIGQUIT."""
    pool.forget_process()
    job = Job(0)
    pool.outbound_buffer.append(job)

    assert not pool.has_room
    assert not pool.write_in_advance(job)
    assert list(pool.outbound_buffer) == [job]
    os.set_blocking(pool.pipe.reader, False)
    with pytest.raises(BlockingIOError):
        pool.pipe.read()


def test_pipe_of_a_process_that_has_ended_is_forgotten_also_when_celery_fails_at_its_end(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery reads its last results then, and one of them may end the worker."""

    def stock(made: Any, _hub: object) -> None:
        def fail(_process: object) -> None:
            raise SystemExit

        made.on_process_down = fail

    monkeypatch.setattr(pipes.AsynPool, "_create_process_handlers", stock)
    pool.handle_processes()
    pool.give(0)

    with pytest.raises(SystemExit):
        pool.on_process_down(SimpleNamespace(inqW_fd=pool.pipe.writer))  # type: ignore[attr-defined] # Celery's

    assert pool.is_forgotten
