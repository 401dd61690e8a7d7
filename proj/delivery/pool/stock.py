"""Celery's pool of processes, with types of the parts that celery-types leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined] # celery-types lacks it
from celery.concurrency import asynpool

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Generator, Iterator


class End(Protocol):
    """An end of a pipe: a `billiard.connection.Connection`."""

    def fileno(self) -> int:
        """Its file descriptor."""

    def _send(self, buf: bytes) -> None:
        """Write all of that, as it is."""


class Pipe(Protocol):
    """A pipe between the worker's main process and one of its pool: a `billiard.queues._SimpleQueue`."""

    _reader: End
    _writer: End


def reader_of(pipe: Pipe) -> End:
    """The end of the pipe that is read from."""
    return pipe._reader  # noqa: SLF001 no public name


def writer_of(pipe: Pipe) -> End:
    """The end of the pipe that is written to."""
    return pipe._writer  # noqa: SLF001 no public name


class PoolProcess(Protocol):
    """A process of the pool."""

    #: Its place among the others.
    index: int
    #: The pipe by which it gets its tasks, and the descriptor of this pipe's writer.
    inq: Pipe
    inqW_fd: int  # noqa: N815 billiard's name

    def terminate(self) -> None:
        """Send it SIGTERM."""


class Job(Protocol):
    """A task in the pool: a `billiard.pool.ApplyResult`."""

    #: Its message: the header, the body, and how many bytes of this are to be written after the header.
    _payload: tuple[memoryview, memoryview, int]
    #: The process that the task is or was written to; None while no byte of it is written.
    _write_to: PoolProcess | None
    #: The process that it is to be written to.
    _scheduled_for: PoolProcess | None
    #: A weak reference to the generator that writes it: it gives None when all is written. Only set with `_write_to`.
    _writer: Callable[[], Generator[None] | None]

    def discard(self) -> None:
        """Let the pool forget it."""


def process_of(job: Job) -> PoolProcess | None:
    """The process that the task is or was written to; None while no byte of it is written."""
    return job._write_to  # noqa: SLF001 no public name


def unwrapped(error: object) -> object:
    """The exception that a task raised: a pool process sends it with its traceback, in a wrapper."""
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


class ReadingLoop(Protocol):
    """What reading the processes' pipes takes of kombu's event loop, a `kombu.asynchronous.Hub`."""

    def add_reader(self, fds: int, callback: Callable[..., object] | Iterator[None], *args: object) -> None:
        """Call it, or let it go on, when the descriptor is readable."""

    def remove_reader(self, fds: int) -> None:
        """Watch the descriptor no more."""


class WritingLoop(Protocol):
    """What writing to the processes' pipes takes of kombu's event loop, a `kombu.asynchronous.Hub`."""

    #: The descriptors that are watched for writing: one by one, and for all of which together a callback is called.
    writers: Collection[int]
    consolidate: Collection[int]
    consolidate_callback: Callable[[list[int]], None]

    def remove_writer(self, fd: int) -> None:
        """Watch the descriptor no more."""


class Worker(asynpool.Worker):
    """What a pool process runs."""

    inq: Pipe

    if TYPE_CHECKING:

        def __init__(self, *args: object, **kwargs: object) -> None: ...

        def _make_child_methods(self) -> None: ...

        def _make_recv_method(self, conn: Pipe) -> Callable[[float], tuple[bool, object]]: ...

        def _ensure_messages_consumed(self, completed: int) -> bool: ...


class ResultHandler(asynpool.ResultHandler):
    """Reads what the processes send."""

    fileno_to_outq: dict[int, object]
    on_state_change: Callable[[object], None]

    if TYPE_CHECKING:

        def _make_process_result(self, hub: ReadingLoop) -> Callable[[int], None]: ...


class AsynPool(asynpool.AsynPool):
    """The pool."""

    sched_strategy: int
    outbound_buffer: deque[Job]
    write_stats: dict[int, int]
    on_poll_start: Callable[[], None]
    on_inqueue_close: Callable[[int, PoolProcess], None]
    on_process_down: Callable[[PoolProcess], None]
    #: Takes a task: its kind, and its arguments, of which the first is the number of its job.
    _quick_put: Callable[[tuple[int, tuple[Any, ...]]], None]
    _state: int
    _cache: dict[int, Job]
    _fileno_to_inq: dict[int, PoolProcess]
    _all_inqueues: set[int]
    _busy_workers: set[int]
    _active_writes: set[int]

    if TYPE_CHECKING:

        def __init__(self, *args: object, **kwargs: object) -> None: ...

        def _create_process_handlers(self, hub: object) -> None: ...

        def _create_write_handlers(self, hub: WritingLoop) -> None: ...

        def _flush_writer(self, process: PoolProcess | None, writer: Generator[None]) -> None: ...
