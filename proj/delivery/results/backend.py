"""Celery's `rpc://` backend, which hands a task's final state over to the worker's main process.

Celery's publishes it from the pool's process, and with confirms the slot waits for the broker twice a task: once for
STARTED, once for the result.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from celery import states
from kombu.serialization import dumps

from proj.delivery.publishing.reply_queue import ReplyingBackend
from proj.delivery.results.attempt import Result, current_attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.app.task import Context

P = ParamSpec("P")
R = TypeVar("R")

#: Bytes of a result that is handed over. The main process of the worker holds it until it is confirmed, so a larger one
#: is published by the pool's process.
LARGEST_HANDED_OVER = 64 * 1024


def _ending(method: Callable[P, R]) -> Callable[P, R]:
    """The method, which stores the state with which this thread's attempt ends."""

    @wraps(method)
    def ending(*args: P.args, **kwargs: P.kwargs) -> R:
        attempt = current_attempt()
        if attempt is None:
            return method(*args, **kwargs)
        attempt.is_ending = True
        try:
            return method(*args, **kwargs)
        finally:
            attempt.is_ending = False

    return ending


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

    # As Celery's: the attempt ends with this state.
    mark_as_done = _ending(ReplyingBackend.mark_as_done)
    mark_as_failure = _ending(ReplyingBackend.mark_as_failure)
    mark_as_retry = _ending(ReplyingBackend.mark_as_retry)
