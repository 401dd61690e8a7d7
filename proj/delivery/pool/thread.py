"""The pool of threads, in which a thread that has ended its task can go on with the next one by itself.

With Celery's, the worker's loop gives each task to a thread: the thread wakes the loop, and the loop wakes the thread.
Each time one waits for the interpreter's lock, which takes longer than a short task.

The worker's banner and `inspect stats` name a pool by its module, so this one keeps the name of Celery's.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from celery.concurrency import thread
from celery.concurrency.base import apply_target
from celery.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

logger = get_logger(__name__)


class _OfThread(threading.local):
    """What a thread of the pool is about to do."""

    #: Whether it is one.
    runs = False
    #: Called when its task has ended: it gives the next task to the pool.
    give: Callable[[], object] | None = None
    #: Whether `give` runs.
    is_given = False
    #: The task that this has given.
    job: Job | None = None


class Job:
    """A task in the pool."""

    def __init__(
        self,
        target: Callable[..., object],
        args: tuple[Any, ...] | None,
        kwargs: dict[str, Any] | None,
        **callbacks: Callable[..., object] | None,
    ) -> None:
        """Call `apply_target` of Celery with these arguments."""
        self._call = (target, args, kwargs)
        self._callbacks = callbacks
        self.future: Future[None] = Future()

    def run(self) -> None:
        """Run it, unless it was cancelled; what its callbacks raise is in the future, as in that of an executor."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            apply_target(*self._call, **self._callbacks)
        except BaseException as error:  # noqa: BLE001 as an executor
            self.future.set_exception(error)
        else:
            self.future.set_result(None)


class TaskPool(thread.TaskPool):
    """Celery's, with that."""

    executor: ThreadPoolExecutor

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Make the pool of Celery's arguments."""
        super().__init__(*args, **kwargs)
        self._of_thread = _OfThread()
        #: Tasks that were given to the pool and that no thread has begun.
        self._queued = 0
        self._lock = threading.Lock()

    def on_apply(  # type: ignore[override] # celery-types takes any arguments
        self,
        target: Callable[..., object],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., object] | None = None,
        accept_callback: Callable[..., object] | None = None,
        **_: object,
    ) -> object:
        """Run the task in a free thread, or in this one, when it goes on by itself."""
        job = Job(target, args, kwargs, callback=callback, accept_callback=accept_callback)
        if self._of_thread.is_given:
            self._of_thread.job = job
        else:
            with self._lock:
                self._queued += 1
            self.executor.submit(self._run, job)
        return thread.ApplyResult(job.future)  # type: ignore[attr-defined] # celery-types lacks it

    @property
    def can_go_on(self) -> bool:
        """Whether this is a thread of the pool, and no other task waits for one."""
        return self._of_thread.runs and not self._queued

    def go_on(self, give: Callable[[], object]) -> None:
        """Let this thread of the pool call `give` when its task has ended, and run the task that this gives."""
        self._of_thread.give = give

    def _run(self, job: Job | None) -> None:
        mine = self._of_thread
        mine.runs = True
        with self._lock:
            self._queued -= 1
        while job is not None:
            job.run()
            job = None
            while job is None and (give := mine.give) is not None:
                mine.give = None
                mine.is_given = True
                try:
                    give()
                except Exception:  # whatever it was, this thread may have other tasks to run
                    logger.exception("A thread could not begin its next task.", extra={"action": "next_task_not_begun"})
                finally:
                    mine.is_given = False
                job, mine.job = mine.job, None
