"""Storing results in a backend that may be away, such as a Redis that is out of memory.

Celery stores STARTED before a task runs, and its final state after that, in the process that runs it. Where that fails
it calls the task failed. Here both are tried again. A task that has not run yet is given back to its queue after a
while, and one that has run has ended, whether its result could be stored or not.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery.app.trace import TraceInfo, trace_ok_t
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import Reject
from celery.utils.log import get_logger
from celery.utils.saferepr import saferepr
from kombu.exceptions import SerializationError

from proj.delivery.settings import setting
from proj.printable import printable, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from celery import Celery
    from celery.app.task import Task
    from celery.backends.base import Backend

    from proj.delivery.results.hand_over import Tracer

#: Seconds for which a task waits for its backend before it is given back without having run.
NOT_RUN_AFTER_S = 5.0
#: Seconds between two tries: the first pause and the longest.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
#: The states that Celery itself stores; others are the task's own, and so are their errors.
_ENDS = frozenset({states.SUCCESS, states.FAILURE, states.RETRY})
#: An attribute of a backend whose states are tried again.
_MARK = "proj_stores_surely"

logger = get_logger(__name__)


class NotRun(Reject):
    """The task was not run, because its backend is away; its message is to be given back. Its reason is a text."""


class ResultNotStored(Exception):
    """The task ran, and its result could not be stored for as long as it was tried."""


class _End(NamedTuple):
    """How a task ended: its state, and what it returned or raised."""

    state: str
    result: object


@dataclass
class _Attempt:
    """One run of one task in this thread."""

    task_id: str
    #: Whether its message can still be given back.
    may_be_given_back: bool
    timeout_s: float | None
    #: The end that could not be stored.
    unstored: _End | None = None

    def store(self, state: str, result: object, store: Callable[[object], object]) -> object:
        """Store a state of the task, and try that again.

        Raises:
            NotRun: STARTED could not be stored.
            ResultNotStored: the task's end could not be stored.
        """
        if state == states.STARTED:
            return self.before_its_run(partial(store, result))
        if self.unstored is not None:
            # Celery stores the error of the first try in its place. Nobody is to be told that over the task's own.
            return self._try_for(0.0, partial(store, self.unstored.result if state == self.unstored.state else result))
        try:
            return self._try_for(self.timeout_s, partial(store, result))
        except ResultNotStored:
            if state == states.RETRY:
                # The retry is published already.
                return result
            self.unstored = _End(state, result)
            raise

    def outcome(self) -> trace_ok_t:
        """What the tracer returns for an end that could not be stored: that end."""
        state, result = self.unstored or _End(states.SUCCESS, None)
        if state == states.SUCCESS:
            return trace_ok_t(result, None, 0.0, saferepr(result))
        error = result if isinstance(result, BaseException) else RuntimeError(str(result))
        with suppress(BaseException):
            raise error
        return trace_ok_t(
            ExceptionInfo((type(error), error, error.__traceback__)), TraceInfo(states.FAILURE, error), 0.0, None
        )

    def before_its_run(self, call: Callable[[], object]) -> object:
        """What `call` returns, which needs the backend; None where the task is run without it.

        Raises:
            NotRun: it failed, and the message can be given back.
        """
        limit_s = NOT_RUN_AFTER_S if self.timeout_s is None else min(NOT_RUN_AFTER_S, self.timeout_s)
        try:
            return self._try_for(limit_s if self.may_be_given_back else 0.0, call)
        except ResultNotStored as error:
            if not self.may_be_given_back:
                return None
            raise NotRun(str(error), requeue=True) from error

    def _try_for(self, seconds: float | None, store: Callable[[], object]) -> object:
        began = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return store()
            except SerializationError:
                # It is the value that cannot be stored.
                raise
            except Exception as error:
                tried_s = time.monotonic() - began
                if pause_s == _FIRST_PAUSE_S:
                    logger.warning(
                        "A state of the task %s could not be stored: %s.",
                        printable(self.task_id),
                        shown(error),
                        extra={"action": "state_not_stored"},
                    )
                if seconds is not None and tried_s + pause_s > seconds:
                    raise ResultNotStored(
                        f"A state of the task could not be stored for {tried_s:.1f} s: {shown(error)}."
                    ) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


_of_thread = threading.local()


def may_be_away(app: Celery) -> bool:
    """Whether the app's results go anywhere but over the broker, on which everything depends anyway."""
    return not isinstance(app.backend, (DisabledBackend, RPCBackend))


def store_surely(app: Celery, requests: Collection[object], on_lost: Callable[[], object]) -> None:
    """Let pool processes that start from now on try again what a backend does not store.

    Args:
        app: whose tasks.
        requests: the request classes that give back the message of a task that was not run.
        on_lost: called, in the process that ran the task, for each result that could not be stored.
    """

    def in_new_process(**_: object) -> None:
        trace_tasks(app, requests, on_lost)

    signals.worker_process_init.connect(in_new_process, weak=False, dispatch_uid=f"proj-storing-{id(app)}")


def trace_tasks(app: Celery, requests: Collection[object], on_lost: Callable[[], object]) -> None:
    """Let the tracers of all tasks, which Celery has just built, try again what a backend does not store."""
    timeout_s = setting(app, "proj_result_timeout_s")
    for task in app.tasks.values():
        late = bool(task.acks_late) and task.Request in requests
        task.__trace__ = _storing_surely(
            task, task.__trace__, may_be_given_back=late, timeout_s=timeout_s, on_lost=on_lost
        )


def _storing_surely(
    task: Task[Any, Any],
    trace: Tracer,
    *,
    may_be_given_back: bool,
    timeout_s: float | None,
    on_lost: Callable[[], object],
) -> Tracer:
    @wraps(trace)
    def trace_task(uuid: str, args: object, kwargs: object, request: object = None) -> trace_ok_t:
        attempt = _Attempt(uuid, may_be_given_back, timeout_s)
        # Some backends use what they stand for when they are made.
        backend = attempt.before_its_run(lambda: task.backend)
        if backend is not None:
            _try_again(backend)
        _of_thread.attempt = attempt
        try:
            return trace(uuid, args, kwargs, request)
        except ResultNotStored as error:
            logger.error(  # noqa: TRY400 a trace would show Celery's code alone
                "The task %s ran, and its result is lost: %s Its message is settled as if the result had been stored.",
                printable(uuid),
                error,
                extra={"action": "result_not_stored"},
            )
            on_lost()
            return attempt.outcome()
        finally:
            _of_thread.attempt = None

    return trace_task


def _try_again(backend: object) -> None:
    """Let a backend, of which each thread may have its own, try again what belongs to the thread's task."""
    if _MARK in vars(backend):
        return
    stock: Callable[..., object] = cast("Backend", backend).store_result

    @wraps(stock)
    def store_result(task_id: str, result: object, state: str, *args: object, **options: object) -> object:
        def store(value: object) -> object:
            return stock(task_id, value, state, *args, **options)

        attempt: _Attempt | None = getattr(_of_thread, "attempt", None)
        if attempt is None or attempt.task_id != task_id or (state != states.STARTED and state not in _ENDS):
            return store(result)
        return attempt.store(state, result, store)

    vars(backend).update({_MARK: True, "store_result": store_result})
