"""Celery's `rpc://` backend, which hands a task's final state over to the worker's main process.

Celery's publishes it from the pool's process, and with confirms the slot waits for the broker twice a task: once for
STARTED, once for the result.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from celery import states
from celery.utils.log import get_logger
from kombu.serialization import dumps

from proj.delivery.publishing.deadline import Deadline, PublishOperation, publishing
from proj.delivery.publishing.reply_queue import ReplyingBackend
from proj.delivery.results.attempt import STARTED_WITHIN_S, Result, current_attempt
from proj.delivery.results.waiting_results import KEPT_S
from proj.delivery.settings import setting
from proj.errors import QueueFull, Unconfirmed
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from celery.app.task import Context

P = ParamSpec("P")
R = TypeVar("R")

#: Bytes of a result that is handed over. The main process of the worker holds it until it is confirmed, so a larger one
#: is published by the pool's process.
LARGEST_HANDED_OVER = 64 * 1024

logger = get_logger(__name__)


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
    app: Celery
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
        publish = partial(super().store_result, task_id, result, state, traceback, request, **options)
        if state == states.STARTED:
            attempt.start_with(lambda: self._tried(publish, task_id, STARTED_WITHIN_S))
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
                late = attempt.is_started_on_its_way
                attempt.results.append(
                    Result(queue, body, content_type, content_encoding, correlation_id, self.delivery_mode, late)
                )
                return result
        attempt.await_started()
        timeout_s: float | None = setting(self.app, "proj_publish_timeout_s")
        if not attempt.is_ending:
            # The next state replaces it, and no slot waits long for it.
            timeout_s = KEPT_S if timeout_s is None else min(KEPT_S, timeout_s)
        try:
            return self._tried(publish, task_id, timeout_s)
        except (QueueFull, Unconfirmed) as error:
            # No task fails because its caller does not take its states.
            logger.error(  # noqa: TRY400 a trace would show how it was published
                "The state %s of the task %s is lost: %s",
                state,
                printable(task_id),
                error.message,
                extra={"action": "result_not_stored"},
            )
            if attempt.is_ending:
                attempt.on_lost()
            return result

    def _tried(self, publish: Callable[[], object], task_id: str, timeout_s: float | None) -> object:
        """Publish in this process, for so long at most, and for `KEPT_S` when the reply queue rejects it.

        Raises:
            PublishRefused, Unconfirmed: the broker did not take it.
        """
        operation = PublishOperation(
            subject=f"a state of task {task_id}",
            task_id=task_id,
            deadline=Deadline(timeout_s),
            mandatory=False,
            full_timeout_s=KEPT_S,
        )
        with publishing(operation):
            return publish()

    # As Celery's: the attempt ends with this state.
    mark_as_done = _ending(ReplyingBackend.mark_as_done)
    mark_as_failure = _ending(ReplyingBackend.mark_as_failure)
    mark_as_retry = _ending(ReplyingBackend.mark_as_retry)
    mark_as_revoked = _ending(ReplyingBackend.mark_as_revoked)
