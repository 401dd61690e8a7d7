"""How a task's end becomes a message's end: nothing that a task does ends the worker, and nothing it held vanishes."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined] # unlike celery-types
from celery import signals
from celery.exceptions import Reject, TaskRevokedError, WorkerLostError
from celery.utils.log import get_logger
from celery.worker import request as stock
from celery.worker import state

from proj.delivery.consuming.redeliveries import past
from proj.delivery.printable import shown
from proj.queues import DUE, EXCHANGES, exchange_of, home_queue

if TYPE_CHECKING:
    from collections.abc import Callable

#: What a task may raise that is meant for its process, not for its caller.
_FOR_PROCESSES = (SystemExit, KeyboardInterrupt, MemoryError)

#: What billiard and Celery say of a process that is gone; the rest of it is how.
_LOST = re.compile(r"^Worker exited prematurely: (.*?)( Job: \d+)?\.*$", re.DOTALL)

logger = get_logger(__name__)


class Request(stock.Request):
    """Celery's request of a message that our Consumer keeps; set on each task that has the stock one."""

    #: How it killed or would have ended its process; None while it did not.
    _guilt: str | None = None
    acknowledged: bool
    #: Why the task's end rejects the message.
    _failure: str | None = None
    _expired = False
    #: Whether the pool's process has recorded the failure itself.
    _recorded = False

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 Celery's arguments
        """Read the message as the stock one does, without what is ours: a retry begins anew."""
        super().__init__(message, *args, **kwargs)
        if past(message.headers, redelivered=False).attempts > 1:
            # The broker knows nothing of it, since it was published again.
            self._delivery_info["redelivered"] = True  # type: ignore[attr-defined] # unlike celery-types
        if _came_by_exchange(self._delivery_info):  # type: ignore[attr-defined] # unlike celery-types
            # A retry is for this worker's queue alone, by the default exchange, as Celery reads it.
            self._delivery_info.update(exchange="", routing_key=home_queue(message.keeper.queue_of(message)))  # type: ignore[attr-defined] # unlike celery-types
        for name in [name for name in self._request_dict if str(name).startswith("x-proj-")]:  # type: ignore[attr-defined] # unlike celery-types
            del self._request_dict[name]  # type: ignore[attr-defined] # unlike celery-types

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 a class's arguments
        """Guard what `celery.worker.request.create_request_cls` overrides in the class it makes for a task."""
        super().__init_subclass__(**kwargs)
        for name, guard in (("execute_using_pool", _guarded_execution), ("on_success", _guarded_success)):
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 Celery's signature
        """End as the stock one, but never with the worker, and with a dead letter when it cannot be recorded."""
        try:
            self._end(exc_info, send_failed_event, return_ok)
        except Exception as error:
            logger.exception("What became of the task %s[%s] could not be recorded.", self.name, self.id)
            self.message.keeper.bury(
                self.message,
                f"It ended with {shown(_exception(exc_info))}, which could not be recorded: {shown(error)}.",
            )

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 Celery's signature
        """Give the message back with what it went through written into it, or give it up with the reason."""
        if self.acknowledged or state.should_terminate:
            super().reject(requeue)
            return
        self.acknowledged = True
        keeper = self.message.keeper
        if not requeue:
            keeper.bury(self.message, self._failure or "Its task rejected it.")
        elif self._guilt is None:
            keeper.give_back(self.message)
        elif (reason := keeper.strike(self.message, self._guilt)) is not None:
            self._record(WorkerLostError(reason))
        self.send_event("task-rejected", requeue=requeue)

    def acknowledge(self) -> None:
        """As the stock one; a message that has expired becomes a dead letter instead."""
        if self._expired and not self.acknowledged:
            self.acknowledged = True
            self.message.keeper.bury(self.message, f"It expired at {self.expires.isoformat()}, before it was run.")
            return
        super().acknowledge()

    def maybe_expire(self) -> bool | None:  # type: ignore[override] # unlike celery-types
        """As the stock one, but its id is not revoked for good: a dead letter may be requeued."""
        known = self.id in state.revoked
        expired: bool | None = super().maybe_expire()
        if expired and not known:
            state.revoked.discard(self.id)
        return expired

    def _on_thread_done(self, future: Any) -> None:  # noqa: ANN401 a future of the thread pool
        """The thread pool tells nobody of an exception outside of the task's body, and never acknowledges."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self.on_failure(_raised(error))

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:  # noqa: ANN401, FBT001 Celery's signature
        self._expired = bool(expired)
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc] # unlike celery-types

    def _end(self, exc_info: Any, send_failed_event: bool, return_ok: bool) -> None:  # noqa: ANN401, FBT001 as on_failure
        error = _exception(exc_info)
        self._failure = (
            f"Its task rejected it: {shown(error.reason)}."  # type: ignore[attr-defined] # unlike celery-types
            if isinstance(error, Reject)
            else f"It failed: {type(error).__name__}: {shown(error)}."
        )
        for_process = isinstance(error, _FOR_PROCESSES)
        stopped = self._already_cancelled or self._already_revoked or state.should_terminate  # type: ignore[attr-defined] # unlike celery-types
        if stopped and not isinstance(error, MemoryError):
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        if for_process or isinstance(error, WorkerLostError):
            if self.task.acks_late and self.task.reject_on_worker_lost:
                self._guilt = type(error).__name__ if for_process else _LOST.sub(r"\1", str(error))
            if isinstance(error, MemoryError):
                # The stock one raises it again in the worker's main process. The pool has recorded the failure.
                self._recorded = return_ok
                exc_info = (
                    self._worker_lost_info(error) if self._guilt else _raised(RuntimeError(f"MemoryError: {error}"))  # type: ignore[attr-defined] # unlike celery-types
                )
            elif for_process:
                exc_info = self._worker_lost_info(error)  # type: ignore[attr-defined] # unlike celery-types
        super().on_failure(exc_info, send_failed_event, return_ok)

    def _record(self, error: Exception) -> None:
        """Tell the callers that it will not be tried again, as the stock one does for a failure of the pool."""
        if not self._recorded:
            self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)  # type: ignore[attr-defined] # unlike celery-types
            signals.task_failure.send(
                sender=self.task,
                task_id=self.id,
                exception=error,
                args=self.args,
                kwargs=self.kwargs,
                traceback=None,
                einfo=None,
            )
        self.send_event("task-failed", exception=repr(error), traceback="")


def _guarded_execution(stock_method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock_method)
    def execute_using_pool(self: Request, pool: Any, **kwargs: Any) -> Any:  # noqa: ANN401 Celery's pool and result
        try:
            result = stock_method(self, pool, **kwargs)
        except TaskRevokedError:
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            # In the solo pool the task runs here, and may raise what Celery's own shutdown does.
            if self.time_start is None or state.should_stop is not None or state.should_terminate is not None:  # type: ignore[redundant-expr] # unlike celery-types
                raise
            self.on_failure(self._worker_lost_info(error))  # type: ignore[attr-defined] # unlike celery-types
            return None
        except Exception as error:
            if self.time_start is not None:
                self.on_failure(ExceptionInfo())
                return None
            logger.exception("The task %s[%s] could not be given to the pool.", self.name, self.id)
            state.task_ready(self)
            self.acknowledged = True
            self.message.keeper.bury(self.message, f"It cannot be given to the pool: {shown(error)}.")
            # Of all exceptions, the worker gives the slot back at this one alone.
            raise TaskRevokedError(self.id) from error
        future = getattr(result, "f", None)
        if future is not None:
            future.add_done_callback(self._on_thread_done)
        return result

    return execute_using_pool


def _guarded_success(stock_method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock_method)
    def on_success(self: Request, failed__retval__runtime: Any, **kwargs: Any) -> Any:  # noqa: ANN401 Celery's signature
        # Pools without processes call this too when a task ends with what is no Exception.
        if isinstance(failed__retval__runtime, ExceptionInfo):
            return self.on_failure(failed__retval__runtime)
        failed, outcome, _runtime = failed__retval__runtime
        if failed and isinstance(_exception(outcome), (SystemExit, KeyboardInterrupt)):
            return self.on_failure(outcome)
        return stock_method(self, failed__retval__runtime, **kwargs)

    return on_success


def _came_by_exchange(info: dict[str, Any]) -> bool:
    """Whether the message came by an exchange that may have copied it to others."""
    exchange = info.get("exchange")
    return exchange in EXCHANGES or (exchange == DUE.name and exchange_of(str(info.get("routing_key"))) is not None)


def _exception(exc_info: Any) -> Any:  # noqa: ANN401 billiard's ExceptionInfo
    error = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _raised(error: BaseException) -> Any:  # noqa: ANN401 billiard's ExceptionInfo
    """The error as billiard tells of it, which needs a traceback."""
    with suppress(BaseException):
        raise error
    return ExceptionInfo((type(error), error, error.__traceback__))
