"""The reply queue for results over AMQP, which Celery declares again for every task that is sent."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery.backends.rpc import RPCBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    import kombu

#: Seconds after which the queue is declared again.
DECLARED_FOR_S = 1.0


@contextmanager
def declared_once_a_second(backend: object) -> Iterator[None]:
    """Let results over AMQP declare their reply queue once a second in the block, not for each task.

    The declaration is a fifth of what a task costs. It cannot be left out, because the broker deletes the queue when
    its last consumer leaves.
    """
    if type(backend) is not RPCBackend:
        yield
        return
    declare, due = backend.on_task_call, float("-inf")

    def on_task_call(producer: kombu.Producer, task_id: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            declare(producer, task_id)
            due = time.monotonic() + DECLARED_FOR_S

    backend.on_task_call = on_task_call  # type: ignore[method-assign] # for this block and this app only
    try:
        yield
    finally:
        del backend.on_task_call
