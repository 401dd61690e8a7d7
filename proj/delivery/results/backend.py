"""Celery's `rpc://` backend, which hands a task's final state over to the worker's main process.

Celery's publishes it from the pool's process, and with confirms the slot waits for the broker twice a task: once for
STARTED, once for the result.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import states
from kombu.serialization import dumps

from proj.delivery.publishing.reply_queue import ReplyingBackend
from proj.delivery.results.attempt import Result, current_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery.app.task import Context

#: Bytes of a result that is handed over. The main process of the worker holds it until it is confirmed, so a larger one
#: is published by the pool's process.
LARGEST_HANDED_OVER = 64 * 1024


class ResultBackend(ReplyingBackend):
    """Celery's, for the tasks of a worker whose tracers are those of `proj.delivery.results.hand_over`."""

    # What celery-types leaves out.
    serializer: str
    delivery_mode: int
    _to_result: Callable[..., dict[str, Any]]

    def store_result(
        self,
        task_id: str,
        result: object,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        **options: object,
    ) -> object:
        """Publish the state of a task, or keep it for the end of the attempt."""
        attempt = current_attempt()
        if attempt is None or attempt.task_id != task_id:
            return super().store_result(task_id, result, state, traceback=traceback, request=request, **options)
        if state == states.STARTED:
            publish = super().store_result
            attempt.start_with(lambda: publish(task_id, result, state, traceback=traceback, request=request, **options))
            return result
        # From here on STARTED would come too late.
        attempt.forget_started()
        if attempt.is_ending and attempt.hands_over:
            queue, correlation_id = self.destination_for(task_id, request)
            if not queue:
                return None
            meta = self._to_result(task_id, state, result, traceback, request)
            content_type, content_encoding, body = dumps(meta, self.serializer)
            if len(body) <= LARGEST_HANDED_OVER:
                attempt.results.append(
                    Result(queue, body, content_type, content_encoding, correlation_id, self.delivery_mode)
                )
                return result
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **options)

    def mark_as_done(self, task_id: str, *args: Any, **options: Any) -> None:  # noqa: ANN401 Celery's arguments
        """As Celery's: the attempt ends with this state."""
        with _ending():
            super().mark_as_done(task_id, *args, **options)

    def mark_as_failure(self, task_id: str, *args: Any, **options: Any) -> None:  # noqa: ANN401 Celery's arguments
        """As Celery's: the attempt ends with this state."""
        with _ending():
            super().mark_as_failure(task_id, *args, **options)

    def mark_as_retry(self, task_id: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 Celery's arguments
        """As Celery's: the attempt ends with this state."""
        with _ending():
            return super().mark_as_retry(task_id, *args, **options)


@contextmanager
def _ending() -> Iterator[None]:
    attempt = current_attempt()
    if attempt is None:
        yield
        return
    attempt.is_ending = True
    try:
        yield
    finally:
        attempt.is_ending = False
