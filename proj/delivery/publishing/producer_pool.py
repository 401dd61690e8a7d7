"""The pool of confirming producers, with connections of their own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu.connection import ConnectionPool, PooledConnection
from kombu.pools import ProducerPool

from proj.delivery.publishing.deadline import LAST_PAUSE_S, current, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Producer


class PatientConnection(PooledConnection):
    """A connection whose own retries end with the deadline of what is being sent."""

    def ensure(self, obj: Any, fun: Any, errback: Any = None, **options: Any) -> Any:  # noqa: ANN401 as kombu
        """As kombu's, which has no deadline unless it has a number of attempts."""
        sending = current()
        if sending is None:
            return super().ensure(obj, fun, errback, **options)  # type: ignore[misc] # unlike celery-types

        def give_up_in_time(error: Exception, interval: float) -> None:
            if sending.patience.is_over:
                raise sending.unconfirmed(error) from error
            if errback is not None:
                errback(error, interval)

        options.update(max_retries=None, interval_start=0.1, interval_step=0.2, interval_max=LAST_PAUSE_S)
        return super().ensure(obj, fun, give_up_in_time, **options)  # type: ignore[misc] # unlike celery-types


class PatientConnectionPool(ConnectionPool):
    """A pool of them."""

    def new(self) -> PatientConnection:  # type: ignore[override] # unlike celery-types
        """As kombu's, but for the class."""
        return PatientConnection(self, **dict(self.connection._info(resolve=False)))  # noqa: SLF001 as kombu's does


class ConfirmingPool(ProducerPool):
    """A pool of producers that never waits for itself.

    A thread that holds a producer and needs another (a handler of `before_task_publish` that sends a task) gets one
    beside the pool: when every thread did so, all would wait for each other for ever. Who waits for a free one waits
    no longer than the deadline.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 as kombu
        """As kombu's."""
        self._held = threading.local()
        super().__init__(*args, **kwargs)

    def acquire(self, block: bool = False, timeout: float | None = None) -> Producer:  # noqa: FBT001, FBT002 kombu's own
        """A producer, whose `release` gives it back.

        Raises:
            LimitExceeded: none was free within `timeout` seconds.
            Unconfirmed: none was free before the deadline of what is being sent.
        """
        lent: Producer | None = self._held.__dict__.get("lent")
        if lent is not None:
            return lent
        mine: list[int] = self._held.__dict__.setdefault("count", [0])
        sending = current()
        if self.limit and mine[0]:
            producer = self._beside()
        elif sending is None or not block:
            producer = super().acquire(block, timeout)
        else:
            try:
                producer = super().acquire(block=True, timeout=sending.patience.left_s)
            except self.LimitExceeded as error:  # type: ignore[attr-defined] # unlike celery-types
                raise unavailable(sending, self.limit) from error  # type: ignore[arg-type] # unlike celery-types
        give_back = producer.release
        mine[0] += 1

        def release() -> None:
            # The thread that took it counts, whichever gives it back.
            mine[0] -= 1
            give_back()

        producer.release = release  # type: ignore[method-assign] # unlike celery-types
        return producer

    @contextmanager
    def lending(self, producer: Producer) -> Iterator[None]:
        """This thread gets `producer` whenever it asks for one: Celery does not hand the one it has to a chain."""
        self._held.lent = producer
        try:
            yield
        finally:
            self._held.lent = None

    def _beside(self) -> Producer:
        connection = self.connections.new()
        producer = self.Producer(connection)
        producer.release = connection.release  # type: ignore[method-assign] # unlike celery-types
        return producer
