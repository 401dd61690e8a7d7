"""Request: decides from a task's end what becomes of its message; no task ends the worker or loses its message."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, cast

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated
from celery import signals
from celery.exceptions import Reject, TaskRevokedError, WorkerLostError
from celery.utils.log import get_logger
from celery.worker import state

from proj.delivery import stock
from proj.delivery.consuming.redeliveries import FIRST
from proj.delivery.pool.stock import unwrapped
from proj.delivery.results.hand_over import take_results
from proj.delivery.results.stored_here import handed_over
from proj.delivery.results.storing import NotRun
from proj.delivery.validation.header_rules import RULES
from proj.printable import printable, shown
from proj.queues import DUE, EXCHANGES, exchange_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from celery.concurrency.base import BasePool

    from proj.delivery.consuming.receiving import KeptMessage
    from proj.delivery.results.attempt import Result

#: Exceptions of a task that are meant for its process, and not for its caller.
_FOR_PROCESSES = (SystemExit, KeyboardInterrupt, MemoryError)

#: What billiard and Celery say of a process that died; the group is how it died.
_LOST = re.compile(r"^Worker exited prematurely: (.*?)( Job: \d+)?\.*$", re.DOTALL)

#: Most names in a task's request.
_CELERYS = frozenset(
    (*RULES, "task", "id", "properties", "reply_to", "correlation_id", "hostname", "delivery_info", "args", "kwargs")
)

logger = get_logger(__name__)


class Request(stock.Request):
    """Celery's request of a message that our consumer keeps; set on each task that has the stock one."""

    #: How the task killed its process, or would have; None if it did not.
    _killed_by: str | None = None
    #: Why the task's end rejects the message.
    _failure: str | None = None
    _expired = False
    #: Whether it has left the pool, or will not go there.
    has_ended = False
    #: Whether the pool's process has stored the failure itself.
    _stored = False
    #: The task in a pool of threads, which can be cancelled while no thread has begun it.
    future: Future[object] | None = None
    #: The results that the pool's process has handed over, or Celery has stored here, until they are sent.
    _results: list[Result]

    def __init__(self, message: KeptMessage, *args: object, **kwargs: object) -> None:
        """Read the message as the stock one does, without our headers: a retry starts with no history."""
        super().__init__(message, *args, **kwargs)
        self._results = []
        message.request = self
        history = message.delivery.history
        if history is not FIRST and history.before_this_copy:
            # The broker does not know, because a worker published this copy.
            self._delivery_info["redelivered"] = True
        if _came_by_exchange(self._delivery_info):
            # Celery publishes a retry where the message came from. This way it goes to this worker's queue alone.
            self._delivery_info.update(exchange="", routing_key=message.delivery.home)
        # The inspection has refused a name that is no text.
        if not self._request_dict.keys() <= _CELERYS:
            for name in [name for name in self._request_dict if name.startswith("x-proj-")]:
                del self._request_dict[name]

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Guard what `celery.worker.request.create_request_cls` overrides in the class that it makes for a task."""
        super().__init_subclass__(**kwargs)
        for name, guard in (("execute_using_pool", _guarded_execution), ("on_success", _guarded_success)):
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    @property
    def kept_message(self) -> KeptMessage:
        """The message."""
        return cast("KeptMessage", self.message)

    def dead_letter(self, reason: str, *, ran: bool | None) -> None:
        """Dead-letter the message; `ran` is whether its task ran, or began to, where that is known."""
        self.kept_message.disposition.dead_letter(self.kept_message, reason, ran=ran)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: FBT001, FBT002 Celery's signature
        """End the task as Celery does; when its failure cannot be stored, dead-letter the message."""
        error = _exception(exc_info)
        if isinstance(error, NotRun):
            self._give_back(error)
            return
        try:
            with self._sender_publishes():
                self._fail(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        except Exception as failure:
            # A pool process had it; what it did with it, nobody can say.
            began = "began to run, and " if self.time_start is not None else "did not run: it "
            logger.exception(
                "The failure of the task %s[%s] could not be stored.",
                self.name,
                printable(self.id),
                extra={"action": "failure_not_stored"},
            )
            reason = f"It {began}ended with {shown(error)}, which could not be recorded: {shown(failure)}."
            self.dead_letter(reason, ran=True if self.time_start is not None else None)
        self.end()

    def end(self) -> None:
        """Note that the task has left its slot, or will not get one; from any thread."""
        if not self.has_ended:
            self.has_ended = True
            dispatcher = self.kept_message.dispatcher
            if dispatcher is not None:
                dispatcher.ended(self.kept_message)

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 Celery's signature
        """Requeue the message with its history in its headers, or dead-letter it with the reason."""
        if self.acknowledged or state.should_terminate:
            super().reject(requeue)
            return
        self.acknowledged = True
        self._after_results(self._requeue if requeue else self._dead_letter_as_rejected)
        self.send_event("task-rejected", requeue=requeue)
        self.end()

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 Celery's signature
        """Warn of a soft time limit, or fail the task at its hard one, which frees its slot."""
        with self._sender_publishes():
            super().on_timeout(soft, timeout)
        if not soft:
            self.end()

    def _announce_revoked(self, *args: object) -> None:
        with self._sender_publishes():
            super()._announce_revoked(*args)
        self.end()

    def _announce_cancelled(self, *args: object, **kwargs: object) -> None:
        with self._sender_publishes():
            super()._announce_cancelled(*args, **kwargs)
        self.end()

    def acknowledge(self) -> None:
        """Acknowledge the message as Celery does; one that has expired is dead-lettered."""
        if self._expired and not self.acknowledged:
            self.acknowledged = True
            self.dead_letter(f"It expired at {self.expires.isoformat()}, before it was run.", ran=False)
            return
        if self._results and not self.acknowledged:
            self.acknowledged = True
            self._after_results(self._acknowledge_now)
            return
        super().acknowledge()

    def maybe_expire(self) -> Literal[True] | None:
        """Whether the message has expired; its id is not revoked for good, because a dead letter may be requeued."""
        known = self.id in state.revoked
        expired = super().maybe_expire()
        # Celery acknowledges an expired message next.
        self._expired = bool(expired)
        if expired and not known:
            state.revoked.discard(self.id)
        return expired

    def on_thread_done(self, future: Future[object]) -> None:
        """Fail the task for an exception outside its body: the thread pool reports none, and never acknowledges."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self.on_failure(_raised(error))

    def send_results(self) -> None:
        """Publish the results of a task whose message was settled before, or is kept."""
        if results := self._take_results():
            self.kept_message.disposition.send(results)

    def _take_results(self) -> list[Result]:
        results = self._results[:]
        # The same list, to which more may be added.
        self._results.clear()
        return results

    @contextmanager
    def _sender_publishes(self) -> Iterator[None]:
        """In the block, let the sender publish what Celery stores of the task; this loop does not wait for that."""
        if not self.kept_message.disposition.sends_results:
            yield
            return
        with handed_over(self.id, self.task.backend, self._results):
            yield
        self.send_results()

    def _after_results(self, settle: Callable[[], None]) -> None:
        """Call `settle` when the results that the pool's process has handed over are confirmed."""
        if results := self._take_results():
            self.kept_message.disposition.after_results(self.kept_message, results, settle)
        else:
            settle()

    def _acknowledge_now(self) -> None:
        self.kept_message.disposition.acknowledge(self.kept_message)

    def _dead_letter_as_rejected(self) -> None:
        self.dead_letter(self._failure or "Its task rejected it.", ran=True)

    def _requeue(self) -> None:
        message = self.kept_message
        if self._killed_by is None:
            message.disposition.requeue(message)
        elif (reason := message.disposition.retry_killer(message, self._killed_by)) is not None:
            self._store(WorkerLostError(reason))

    def _fail(self, exc_info: ExceptionInfo, *, send_failed_event: bool, return_ok: bool) -> None:
        error = _exception(exc_info)
        self._failure = f"It failed: {type(error).__name__}: {shown(error)}."
        if isinstance(error, Reject):
            self._failure = f"Its task rejected it: {shown(stock.reason_of(error))}."
        if isinstance(error, Terminated) and not (self._already_cancelled or self._already_revoked):
            # Another task of its process was to be terminated, and had ended. Celery would acknowledge this one.
            lost = WorkerLostError("Another task was to be terminated, which had ended in the same process.")
            super().on_failure(_raised(lost), send_failed_event, return_ok)
            return
        for_process = isinstance(error, _FOR_PROCESSES)
        stopped = self._already_cancelled or self._already_revoked or state.should_terminate
        if stopped and not isinstance(error, MemoryError):
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        if for_process or isinstance(error, WorkerLostError):
            if self.task.acks_late and self.task.reject_on_worker_lost:
                self._killed_by = type(error).__name__ if for_process else _LOST.sub(r"\1", str(error))
            if isinstance(error, MemoryError):
                # Celery raises it again in the worker's main process. The pool has stored the failure.
                self._stored = return_ok
                exc_info = (
                    self._worker_lost_info(error) if self._killed_by else _raised(RuntimeError(f"MemoryError: {error}"))
                )
            elif for_process:
                exc_info = self._worker_lost_info(error)
        super().on_failure(exc_info, send_failed_event, return_ok)

    def _give_back(self, reason: NotRun) -> None:
        """Put the message of a task that its process did not run back into its queue."""
        state.task_ready(self)
        logger.warning(
            "The task %s[%s] was not run and goes back to its queue: %s",
            self.name,
            printable(self.id),
            shown(stock.reason_of(reason)),
            extra={"action": "task_given_back"},
        )
        if not self.acknowledged and not state.should_terminate:
            self.acknowledged = True
            self.kept_message.disposition.give_back_unrun(self.kept_message)
            self.send_event("task-rejected", requeue=True)
        self.end()

    def _store(self, error: Exception) -> None:
        """Tell the callers that the task is not tried again, as Celery does for a failure of the pool."""
        if not self._stored:
            with self._sender_publishes():
                self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
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
    def execute_using_pool(self: Request, pool: BasePool, **kwargs: object) -> object:
        try:
            result = stock_method(self, pool, **kwargs)
        except TaskRevokedError:
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            # In the solo pool the task runs here, and may raise what Celery's own shutdown raises.
            if self.time_start is None or _is_ending():
                raise
            self.on_failure(self._worker_lost_info(error))
            return None
        except Exception as error:
            if self.time_start is not None:
                self.on_failure(ExceptionInfo())
                return None
            logger.exception(
                "The task %s[%s] could not be given to the pool.",
                self.name,
                printable(self.id),
                extra={"action": "pool_refused_task"},
            )
            state.task_ready(self)
            # A shutdown closes the pool in a signal handler, also while a task is given to it. Its message goes back.
            if not _is_ending():
                self.acknowledged = True
                self.dead_letter(f"It did not run, because it cannot be given to the pool: {shown(error)}.", ran=False)
            self.end()
            # This is the only exception at which the worker frees the slot.
            raise TaskRevokedError(self.id) from error
        future = getattr(result, "f", None)
        if future is not None:
            self.future = future
            future.add_done_callback(self.on_thread_done)
        return result

    return execute_using_pool


def _guarded_success(stock_method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock_method)
    def on_success(
        self: Request, failed__retval__runtime: tuple[bool, Any, float] | ExceptionInfo, **kwargs: object
    ) -> object:
        # Pools without processes also call this for a task that ended with a BaseException.
        if isinstance(failed__retval__runtime, ExceptionInfo):
            self.on_failure(failed__retval__runtime)
            return None
        failed, outcome, _runtime = failed__retval__runtime
        self._results = take_results(outcome)
        if failed and isinstance(_exception(outcome), (SystemExit, KeyboardInterrupt)):
            self.on_failure(outcome)
            return None
        try:
            if not failed:
                # First, so that the pool has its next task while this one is settled.
                self.end()
        finally:
            try:
                ended = stock_method(self, failed__retval__runtime, **kwargs)
            finally:
                self.send_results()
                self.end()
        return ended

    return on_success


def _is_ending() -> bool:
    """Whether the worker was told to end."""
    # An exit code, which may be 0; celery-types says None.
    stopping: object = state.should_stop
    terminating: object = state.should_terminate
    return stopping is not None or terminating is not None


def _came_by_exchange(info: dict[str, Any]) -> bool:
    """Whether the message came by an exchange that may have copied it to other queues."""
    exchange = info.get("exchange")
    return exchange in EXCHANGES or (exchange == DUE.name and exchange_of(str(info.get("routing_key"))) is not None)


def _exception(exc_info: ExceptionInfo) -> BaseException:
    return cast("BaseException", unwrapped(exc_info.exception))


def _raised(error: BaseException) -> ExceptionInfo:
    """The error as billiard describes it, which needs a traceback."""
    with suppress(BaseException):
        raise error
    return ExceptionInfo((type(error), error, error.__traceback__))
