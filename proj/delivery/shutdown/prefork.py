"""The prefork pool whose warm shutdown waits for every task that a pool process was given, and for no other.

When stock Celery begins to stop, it forgets the tasks that were written to a pool process and that the process has not
accepted yet. The process runs them all the same. Nobody acknowledges them, so they are run twice. Nobody reads that
they were accepted either, so the process waits 30 s for that (`billiard.pool.Worker._ensure_messages_consumed`).

The worker's banner and `inspect stats` name a pool by its module, so this one keeps the name of Celery's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from billiard.pool import CLOSE
from celery.concurrency import asynpool, prefork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

logger = logging.getLogger(__name__)


class Job(Protocol):
    """A task in the pool: what celery-types leaves out of `billiard.pool.ApplyResult`."""

    #: The process that the task is or was written to; None while no byte of it is written.
    _write_to: object | None
    #: A weak reference to the generator that writes it: it gives None when all is written. Only set with `_write_to`.
    _writer: Callable[[], Generator[None] | None]


class AsynPool(asynpool.AsynPool):
    """Celery's pool of processes, which finishes what it has begun to write when it closes."""

    _state: int
    _cache: dict[int, Job]

    def flush(self) -> None:
        """Forget the tasks of which no process has a byte, and write the others to their end.

        Celery calls this when the consumer's connection is lost, too. The pool is open then and the broker delivers
        every message again, so that case is Celery's own.
        """
        if self._state != CLOSE:
            super().flush()
            return
        given = {number: job for number, job in self._cache.items() if job._write_to is not None}  # noqa: SLF001 no public name
        if given:
            logger.info(
                "Warm shutdown waits for tasks that pool processes were given: %d.",
                len(given),
                extra={"action": "warm_shutdown_waits", "tasks": len(given)},
            )
        for job in given.values():
            if writer := job._writer():  # noqa: SLF001 no public name
                # A process that is sent only a part of a message would read for ever.
                self._flush_writer(job._write_to, writer)  # noqa: SLF001 no public name
        # Celery's forgets the tasks that are not accepted, those given too.
        super().flush()
        self._cache.update(given)

    if TYPE_CHECKING:

        def _flush_writer(self, process: object, writer: Generator[None]) -> None: ...


class TaskPool(prefork.TaskPool):
    """Celery's prefork pool over that."""

    Pool = AsynPool
