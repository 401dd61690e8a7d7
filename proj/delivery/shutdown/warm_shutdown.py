"""Leaving in order: a warm shutdown waits for every task that a pool process was given, and for no other.

Stock Celery forgets, when it begins to stop, the tasks that a pool process has been sent and has not accepted yet.
The process does them all the same. Nobody acknowledges them, so they are done twice; and nobody reads that they were
accepted, so the process waits thirty seconds for someone to (`billiard.pool.Worker._ensure_messages_consumed`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard.pool import CLOSE
from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger(__name__)


class Leave(bootsteps.StartStopStep):
    """Makes a prefork pool finish what its processes were given; other pools do so anyway."""

    requires = ("celery.worker.components:Pool",)
    label = "Leave"

    def start(self, worker: Any) -> None:  # noqa: ANN401 Celery's worker
        """Replace what the consumer calls when it closes."""
        pool = worker.pool
        if getattr(pool, "flush", None) is not None and hasattr(getattr(pool, "_pool", None), "outbound_buffer"):
            pool.flush = partial(flush, pool._pool, pool.flush)  # noqa: SLF001 Celery's pool keeps billiard's there


def flush(processes: Any, stock: Callable[[], None]) -> None:  # noqa: ANN401 celery.concurrency.asynpool.AsynPool
    """Give back the tasks that no process has a byte of, and write the others to their end.

    While the pool is open, the consumer has lost its connection and the broker gives everything again: that is
    `stock`'s, Celery's own.
    """
    if processes._state != CLOSE:  # noqa: SLF001 no other way to ask
        stock()
        return
    begun = {}
    for job in tuple(processes._cache.values()):  # noqa: SLF001 as above
        if job._write_to is not None:  # noqa: SLF001 as above
            reference = getattr(job, "_writer", None)
            begun[reference() if reference is not None else None] = job._write_to  # noqa: SLF001 as above
        elif not job._accepted:  # noqa: SLF001 as above
            job.discard()
    processes.outbound_buffer.clear()
    for writer in tuple(processes._active_writers):  # noqa: SLF001 as above
        if writer in begun:
            # A message that is cut in two would keep its process reading for ever.
            processes._flush_writer(begun[writer], writer)  # noqa: SLF001 as above
    if processes._cache:  # noqa: SLF001 as above
        logger.info("Leaving as soon as %d tasks are done that were begun.", len(processes._cache))  # noqa: SLF001 as above
    processes._active_writers.clear()  # noqa: SLF001 as above
    processes._active_writes.clear()  # noqa: SLF001 as above
