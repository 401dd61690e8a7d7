"""The pool of confirming producers, with connections of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kombu.connection import ConnectionPool, PooledConnection
from kombu.exceptions import LimitExceeded
from kombu.pools import ProducerPool

from proj.broker.permissions.undeclared import UndeclaringConnection, options_of
from proj.delivery.publishing.deadline import LAST_PAUSE_S, current_operation, no_free_producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Connection

    from proj.delivery.publishing.producer import ConfirmingProducer

    class _PooledConnection(Connection):
        """kombu's `PooledConnection`, whose stub does not say that it is a connection."""

        def __init__(self, pool: ConnectionPool, **options: object) -> None: ...

        #: Takes its other arguments by name.
        ensure: Callable[..., Callable[..., Any]]

    class _ProducerPool(ProducerPool):
        """kombu's class, with what its stub does not say."""

        def __init__(self, *args: object, **kwargs: object) -> None: ...

        Producer: type[ConfirmingProducer]
        acquire: Callable[..., ConfirmingProducer]
        force_close_all: Callable[[], None]

else:
    _PooledConnection, _ProducerPool = PooledConnection, ProducerPool

T = TypeVar("T")


class DeadlineConnection(_PooledConnection):
    """A connection whose own retries end with the deadline of the publish operation."""

    def ensure(  # type: ignore[override] # the other arguments are given by name, as kombu gives them
        self,
        obj: object,
        fun: Callable[..., T],
        errback: Callable[[Exception, float], None] | None = None,
        **options: object,
    ) -> Callable[..., T]:
        """As kombu's, which retries for ever unless it is given a number of attempts."""
        operation = current_operation()
        if operation is None:
            return super().ensure(obj, fun, errback, **options)

        def stop_at_deadline(error: Exception, interval: float) -> None:
            if operation.deadline.has_passed:
                raise operation.unconfirmed(error) from error
            if errback is not None:
                errback(error, interval)

        if operation.policy is None:
            options.update(max_retries=None, interval_start=0.1, interval_step=0.2, interval_max=LAST_PAUSE_S)
        return super().ensure(obj, fun, stop_at_deadline, **options)


class UndeclaringDeadlineConnection(DeadlineConnection, UndeclaringConnection):
    """Such a connection over which nothing is declared."""


class DeadlineConnectionPool(ConnectionPool):
    """A pool of such connections."""

    def new(self) -> DeadlineConnection:
        """As kombu's, with another class."""
        undeclaring = isinstance(self.connection, UndeclaringConnection)
        kind = UndeclaringDeadlineConnection if undeclaring else DeadlineConnection
        return kind(self, **options_of(self.connection))


class ConfirmingProducerPool(_ProducerPool):
    """A pool of confirming producers from which a thread can take a second one without a deadlock.

    A thread that holds a producer may need another, as a handler of `before_task_publish` does that sends a task. It
    gets an extra one, because threads that all wait for a second one would wait for each other for ever. A thread that
    holds none waits until its deadline.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        """As kombu's."""
        self._of_thread = threading.local()
        super().__init__(*args, **kwargs)

    def acquire(self, block: bool = False, timeout: float | None = None) -> ConfirmingProducer:  # noqa: FBT001, FBT002 kombu's own
        """A producer, which its `release` gives back.

        Raises:
            LimitExceeded: none was free within `timeout` seconds.
            Unconfirmed: none was free before the deadline of the publish operation.
        """
        shared: ConfirmingProducer | None = self._of_thread.__dict__.get("shared")
        if shared is not None:
            return shared
        held: list[int] = self._of_thread.__dict__.setdefault("held", [0])
        operation = current_operation()
        if self.limit and held[0]:
            producer = self._extra()
        elif operation is None or not block:
            producer = super().acquire(block, timeout)
        else:
            try:
                producer = super().acquire(block=True, timeout=operation.deadline.left_s)
            except LimitExceeded as error:
                raise no_free_producer(operation, self.limit) from error
        give_back = producer.release
        held[0] += 1

        def release() -> None:
            # It counts for the thread that took it, whichever thread gives it back.
            held[0] -= 1
            give_back()

        producer.release = release
        return producer

    @contextmanager
    def sharing(self, producer: ConfirmingProducer) -> Iterator[None]:
        """Let this thread get `producer` whenever it acquires one, because Celery passes none on to a chain."""
        self._of_thread.shared = producer
        try:
            yield
        finally:
            self._of_thread.shared = None

    def _extra(self) -> ConfirmingProducer:
        connection = self.connections.new()
        producer = self.Producer(connection)
        producer.release = connection.release
        return producer
