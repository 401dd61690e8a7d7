"""The queue for results over AMQP, which Celery declares anew for every task that is sent."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.backends.rpc import RPCBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds for which the queue is taken to be there.
DECLARED_FOR_S = 1.0


@contextmanager
def declared_seldom(backend: Any) -> Iterator[None]:  # noqa: ANN401 Celery's result backend
    """Let results over AMQP declare their reply queue once a second in the block, and not for each task.

    The declaration alone is a fifth of what a task costs; and it cannot be left out, since the queue is deleted when
    its last consumer leaves.
    """
    if type(backend) is not RPCBackend:
        yield
        return
    declare, due = backend.on_task_call, float("-inf")

    def on_task_call(producer: Any, task_id: str) -> None:  # noqa: ANN401 kombu's producer
        nonlocal due
        if time.monotonic() >= due:
            declare(producer, task_id)
            due = time.monotonic() + DECLARED_FOR_S

    backend.on_task_call = on_task_call  # type: ignore[method-assign] # unlike celery-types
    try:
        yield
    finally:
        del backend.on_task_call
