"""The bootstep of a worker that puts our pools in the place of Celery's, which end in order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from celery import bootsteps
from celery.concurrency import prefork as stock_prefork
from celery.concurrency import thread as stock_thread

from proj.delivery.pool import in_advance, prefork, thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.concurrency.base import BasePool


class Worker(Protocol):
    """Celery's `WorkController`, of which celery-types leaves this out."""

    pool_cls: type[BasePool]
    pool: BasePool
    wait_for_soft_shutdown: Callable[[], object]


#: Our pools in the place of Celery's.
_OURS: dict[object, type[BasePool]] = {
    stock_prefork.TaskPool: prefork.TaskPool,
    stock_thread.TaskPool: thread.TaskPool,
}


class WarmShutdown(bootsteps.Step):
    """Puts our prefork and thread pools in the place of Celery's; any other pool that the user chose stays.

    The other pools wait for what they were given anyway; that of threads is ours for `proj.delivery.dispatch`.
    """

    label = "Warm shutdown"

    def __init__(self, worker: Worker, **options: object) -> None:
        """Replace the pool's class, before the step that makes the pool: all steps are built before any is included."""
        super().__init__(worker, **options)
        worker.pool_cls = _OURS.get(worker.pool_cls, worker.pool_cls)
        worker.wait_for_soft_shutdown = partial(_wait, worker, worker.wait_for_soft_shutdown)


def _wait(worker: Worker, stock: Callable[[], object]) -> None:
    """Wait as Celery does before a cold shutdown, and begin nothing meanwhile that would be run again after it."""
    pool = getattr(worker.pool, "_pool", None)
    if isinstance(pool, in_advance.AsynPool):
        pool.end_advance()
    stock()
