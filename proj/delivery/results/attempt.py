"""The attempt that a thread of the pool runs, with the states of its task that are not published yet."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from celery.utils.log import get_logger

from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a task has run before its caller is told that it has started.
STARTED_AFTER_S = 0.05
#: Seconds for which that is tried. A result that could overtake it waits as long, and its task does not.
STARTED_WITHIN_S = 1.0

logger = get_logger(__name__)


class Result(NamedTuple):
    """A final state of a task, encoded for its caller's reply queue."""

    queue: str
    body: bytes | str
    content_type: str
    content_encoding: str
    correlation_id: str
    delivery_mode: int
    #: Whether STARTED may still be on its way, over another connection.
    after_started: bool = False


class Attempt:
    """One run of one task: its result is kept until the run ends, and its STARTED until it has run for a moment."""

    def __init__(self, task_id: str, *, hands_over: bool, on_lost: Callable[[], object] = lambda: None) -> None:
        """Begin; when `hands_over` is False, results are published at once. `on_lost` is called when one is lost."""
        self.task_id = task_id
        self.hands_over = hands_over
        self.on_lost = on_lost
        #: Whether the state that is stored now is how the run ends.
        self.is_ending = False
        self.results: list[Result] = []
        #: When to publish STARTED, by the monotonic clock.
        self.due = time.monotonic() + STARTED_AFTER_S
        self._publish_started: Callable[[], object] | None = None
        #: Held while STARTED is published.
        self._publishing = threading.Lock()

    def start_with(self, publish: Callable[[], object]) -> None:
        """Let `publish` tell the caller that the task has started, unless it ends before."""
        self._publish_started = publish
        _starting.add(self)

    def publish_started(self) -> None:
        """Publish STARTED now, unless another state was published before."""
        with self._publishing:
            publish, self._publish_started = self._publish_started, None
            if publish is not None:
                try:
                    publish()
                except Exception as error:  # noqa: BLE001 a connection raises anything, and the task runs all the same
                    logger.warning(
                        "The caller of task %s was not told that it has started: %r",
                        printable(self.task_id),
                        error,
                        extra={"action": "started_not_published"},
                    )

    def forget_started(self) -> None:
        """Never begin to publish STARTED after this."""
        self._publish_started = None
        _starting.discard(self)

    @property
    def is_started_on_its_way(self) -> bool:
        """Whether STARTED is being published, so that another state may overtake it."""
        return self._publishing.locked()

    def await_started(self) -> None:
        """Wait until STARTED is no more on its way, for as long as it is tried at most."""
        if self._publishing.acquire(timeout=STARTED_WITHIN_S):
            self._publishing.release()


class _Starting:
    """A thread that tells callers which tasks have started. It sleeps while there are none."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()
        self._any = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, attempt: Attempt) -> None:
        self._attempts.add(attempt)
        if not self._any.is_set():
            self._any.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="started-states", daemon=True)
            self._thread.start()

    def discard(self, attempt: Attempt) -> None:
        self._attempts.discard(attempt)

    def _run(self) -> None:
        while self._any.wait():
            time.sleep(STARTED_AFTER_S)
            now = time.monotonic()
            for attempt in tuple(self._attempts):
                if attempt.due <= now:
                    self._attempts.discard(attempt)
                    attempt.publish_started()
            if not self._attempts:
                self._any.clear()
                if self._attempts:
                    # One was added before the event was cleared.
                    self._any.set()


_starting = _Starting()
_of_thread = threading.local()


def begin_afresh() -> None:
    """Forget what a forked process has from its parent: the thread is not in it."""
    global _starting  # noqa: PLW0603 one for each process
    _starting = _Starting()


def current_attempt() -> Attempt | None:
    """The attempt that this thread runs; None outside a worker's task."""
    attempt: Attempt | None = getattr(_of_thread, "attempt", None)
    return attempt


def set_current_attempt(attempt: Attempt | None) -> None:
    """Let this thread run the attempt."""
    _of_thread.attempt = attempt
