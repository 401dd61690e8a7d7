"""Pauses before a worker connects again that the broker refuses: a changed password, a permission that was taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celery.utils.log import get_logger
from celery.worker.state import maybe_shutdown

if TYPE_CHECKING:
    from proj.errors import ProjError

#: Seconds that are added to the pause at each refusal, and the longest pause: as Celery waits for a silent broker.
#: After the first refusal there is none, because a channel that the broker closes works again at once.
#: Source: kombu's `Connection.ensure_connection`
STEP_S = 2.0
LONGEST_S = 30.0
#: A refusal that comes so many seconds after the last attempt is the first of a new series: the worker has worked.
FORGET_S = 10.0

logger = get_logger(__name__)


class Refusals:
    """The refusals in a row of one worker."""

    def __init__(self, most: int | None) -> None:
        """Take how many may follow each other, Celery's `broker_connection_max_retries`; None or 0 is for ever."""
        self._most = most
        self._count = 0
        #: Monotonic time of the end of the last pause.
        self._ended_at = float("-inf")
        #: Monotonic time of the first refusal of the control queue since the worker consumed.
        self._locked_at: float | None = None

    def forget_lock(self) -> None:
        """The worker consumes: it has its control queue."""
        self._locked_at = None

    def locked_for_s(self, now: float) -> float:
        """Seconds since the first refusal of the control queue, which this is one of, in monotonic seconds."""
        if self._locked_at is None:
            self._locked_at = now
        return now - self._locked_at

    def pause_s(self, now: float) -> float | None:
        """Seconds to wait after a refusal now, in monotonic seconds; None when there were too many."""
        if now - self._ended_at > FORGET_S:
            self._count = 0
        self._count += 1
        if self._most and self._count > self._most:
            return None
        pause_s = min(STEP_S * (self._count - 1), LONGEST_S)
        self._ended_at = now + pause_s
        return pause_s

    def wait(self, sentence: ProjError) -> bool:
        """Wait before the next attempt, unless the worker is told to end; False when there were too many.

        Raises:
            WorkerShutdown: the worker is told to end; `WorkerTerminate` likewise.
        """
        pause_s = self.pause_s(time.monotonic())
        if pause_s is None:
            return False
        if pause_s:
            again = "%s The worker connects again in %g s."
            logger.warning(again, sentence.message, pause_s, extra={"action": "refused_again"})
        end = time.monotonic() + pause_s
        while (left_s := end - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(left_s, 1.0))
        return True
