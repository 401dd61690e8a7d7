"""Results that Celery stores in a worker's main process: of tasks that were killed, timed out or were revoked.

Its `rpc://` backend would publish them at once, and the worker's loop would wait for the broker.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from proj.delivery.results.attempt import Attempt, current_attempt, set_current_attempt
from proj.delivery.results.backend import ResultBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.results.attempt import Result


@contextmanager
def handed_over(task_id: str, backend: object, results: list[Result]) -> Iterator[None]:
    """In the block, let this thread keep what is stored of the task, for the worker's sender.

    Args:
        task_id: the task.
        backend: that of the task; any but ours goes on as Celery's.
        results: to which they are added.
    """
    if not isinstance(backend, ResultBackend) or current_attempt() is not None:
        yield
        return
    attempt = Attempt(task_id, hands_over=True)
    attempt.results = results
    set_current_attempt(attempt)
    try:
        yield
    finally:
        set_current_attempt(None)
