"""The bootstep of a worker that gives Celery's prefork pool an orderly warm shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from celery import bootsteps
from celery.concurrency import prefork as stock

from proj.delivery.pool import prefork

if TYPE_CHECKING:
    from celery.concurrency.base import BasePool


class Worker(Protocol):
    """Celery's `WorkController`, of which celery-types leaves this out."""

    pool_cls: type[BasePool]


class WarmShutdown(bootsteps.Step):
    """Puts our prefork pool in the place of Celery's; any other pool that the user chose stays.

    The other pools wait for what they were given anyway.
    """

    label = "Warm shutdown"

    def __init__(self, worker: Worker, **options: object) -> None:
        """Replace the pool's class, before the step that makes the pool: all steps are built before any is included."""
        super().__init__(worker, **options)
        if worker.pool_cls is stock.TaskPool:
            worker.pool_cls = prefork.TaskPool
