"""The bootstep of a worker that lets a signal handler add to the loop which it has interrupted.

Celery shuts a worker down cold inside its signal handler, which stops the pool. The ends of tasks are read then, and
each is added to the loop (`Hub.call_soon`). When the signal came while the main thread was adding another one, it held
the lock of the loop, and waited for itself for ever.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from celery import bootsteps

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Loop(Protocol):
    """kombu's `Hub`, of which celery-types leaves this out."""

    _ready_lock: AbstractContextManager[bool]


class Worker(Protocol):
    """Celery's `WorkController`, of which celery-types leaves this out."""

    hub: Loop | None


class InterruptedLoop(bootsteps.Step):
    """Gives the worker's loop a lock that the thread which holds it may take again."""

    label = "Interrupted loop"
    requires = ("celery.worker.components:Hub",)

    def create(self, worker: Worker) -> None:
        """Replace the lock before any other thread knows the loop."""
        hub = getattr(worker, "hub", None)
        if hub is not None:
            make_reentrant(hub)


def make_reentrant(hub: Loop) -> None:
    """Give the loop such a lock. Under it, kombu only adds to a set or replaces the set, so it may be interrupted."""
    hub._ready_lock = threading.RLock()  # noqa: SLF001 kombu has no public name for it
