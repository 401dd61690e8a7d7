"""Pipes whose packets are read whole, by one reader each."""

from __future__ import annotations

import os
import select
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from billiard import common
from billiard.einfo import ExceptionInfo
from billiard.pool import ACK, READY

from proj.delivery.pool.packets import SIZE, Results, Worker, are_kept_apart, keep_apart, take_back, whole_message

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="Only Linux has pipes of packets.")


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def test_packets_are_taken_back_as_they_were_written_and_the_oldest_first() -> None:
    """A stream of bytes would give them in one piece."""
    with pipe() as (reader, writer):
        assert not are_kept_apart(writer)
        assert keep_apart(reader, writer)
        assert are_kept_apart(writer)
        for packet in (b"first", b"second", b"third"):
            os.write(writer, packet)

        assert os.read(reader, select.PIPE_BUF) == b"first"
        assert take_back(reader, 1) == [b"second"]
        assert take_back(reader, 8) == [b"third"]
        assert take_back(reader, 8) == []


def test_taking_back_does_not_make_the_other_reader_stop_waiting() -> None:
    """A pool process waits for its next task in a read, and has the descriptor's flags in common with the worker."""
    with pipe() as (reader, writer):
        assert keep_apart(reader, writer)

        take_back(reader, 1)

        assert os.get_blocking(reader)


@pytest.mark.parametrize("size", [1, select.PIPE_BUF - SIZE.size, select.PIPE_BUF, 5 * select.PIPE_BUF + 7])
@pytest.mark.parametrize("parts", ["at once", "after its size"])
def test_message_of_any_size_is_read_whole(size: int, parts: str) -> None:
    """A large one takes several packets, and its size may be one of its own, as Celery writes it."""
    body = os.urandom(size)
    header = SIZE.pack(size)
    with pipe() as (reader, writer):
        assert keep_apart(reader, writer)
        if parts == "at once":
            os.write(writer, header + body)
        else:
            os.write(writer, header)
            os.write(writer, body)
        os.write(writer, b"next")

        assert whole_message(reader, os.read(reader, select.PIPE_BUF)) == body
        assert os.read(reader, select.PIPE_BUF) == b"next"


def test_message_without_an_end_is_the_end_of_the_pipe() -> None:
    """The worker has ended while it wrote."""
    reader, writer = os.pipe()
    os.write(writer, SIZE.pack(10) + b"half")
    os.close(writer)

    with pytest.raises(EOFError):
        whole_message(reader, os.read(reader, select.PIPE_BUF))
    os.close(reader)


class Queue:
    """The pipe to the main process, as billiard has it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._writer = self
        self._reader = self

    def _send(self, data: bytes) -> None:
        self.written.append(data)


def ended(result: object) -> tuple[Any, ...]:
    """What billiard writes of a task that has ended well."""
    return (1, 0, (True, (False, result, 0.1)), 3)


def test_result_is_written_with_the_news_of_the_next_task() -> None:
    """The main process is woken once for both, and a result is never behind a task that has begun."""
    queue: Any = Queue()
    results = Results(queue)

    results.put((READY, ended("the result")))
    assert queue.written == []
    results.put((ACK, "the next one"))
    results.write()

    (written,) = queue.written
    assert written.index(b"the result") < written.index(b"the next one")


def test_result_is_written_when_nothing_follows() -> None:
    """The process would wait with it."""
    queue: Any = Queue()
    results = Results(queue)
    results.put((READY, ended("the result")))

    results.write()

    assert len(queue.written) == 1


def test_process_ends_when_its_results_are_read_although_nobody_has_counted_them() -> None:
    """The main process may read several and be interrupted by a shutdown, which waits for the process."""
    with pipe() as (reader, writer):
        queue: Any = Queue()
        queue.fileno = lambda: writer
        results = Results(queue)
        os.write(writer, b"a result")

        assert not results.wait_until_read(0.0)
        os.read(reader, select.PIPE_BUF)
        assert results.wait_until_read(0.0)


def test_process_that_is_told_to_end_does_not_wait_until_its_results_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends at once waits for the process, and reads nothing meanwhile."""
    with pipe() as (_reader, writer):
        queue: Any = Queue()
        queue.fileno = lambda: writer
        worker: Any = object.__new__(Worker)
        worker.outq = Results(queue)
        worker.outq.put((READY, ended("the result")))
        os.write(writer, b"an earlier result")
        monkeypatch.setattr(common, "_should_have_exited", [True])

        assert worker._ensure_messages_consumed(1)  # noqa: SLF001 billiard calls it by this name
        assert len(queue.written) == 1


def test_result_that_cannot_be_pickled_is_an_error_at_once() -> None:
    """Billiard then sends what it could not encode, and the results before it stay."""
    queue: Any = Queue()
    results = Results(queue)
    results.put((READY, ended("before")))

    with pytest.raises(Exception, match="pickle"):
        results.put((READY, ended(lambda: None)))
    results.write()

    assert b"before" in b"".join(queue.written)


def outcome_of(error: BaseException | None) -> tuple[bool, object, float]:
    """What Celery's tracer returns for a task that raised this."""
    if error is None:
        return (False, "'done'", 0.1)
    with suppress(BaseException):
        raise error
    return (True, ExceptionInfo((type(error), error, error.__traceback__)), 0.1)


@pytest.mark.parametrize(
    ("error", "is_last"), [(None, False), (ValueError("x"), False), (MemoryError("no more"), True)]
)
def test_process_whose_task_had_no_memory_runs_no_other(error: BaseException | None, *, is_last: bool) -> None:
    """Under a limit of its memory Celery's own code fails in it too, and it may never end its next task."""
    queue: Any = Queue()
    for of_tracer in (True, False):
        results, outcome = Results(queue), outcome_of(error)

        results.put((READY, (1, 0, (of_tracer, outcome if of_tracer else outcome[1]), 3)))

        assert results.lacked_memory == is_last
