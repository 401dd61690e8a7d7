"""Job: work in the background that tells how far it is and can be cancelled."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from proj.errors import ProjError
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "done", "stopped", "failed"


@dataclass(kw_only=True)
class Progress(ABC):
    """How far a job is; its thread writes, and any thread reads."""

    verb: str
    who: str
    state: str = RUNNING
    #: Why it ended before all was done.
    trouble: str | None = None
    stopped_by: str | None = None
    seconds: float = 0.0
    #: When it ended, in seconds since the epoch.
    ended: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all was done."""
        return True

    @abstractmethod
    def said(self) -> str:
        """How far it is, and what became of it, in plain sentences."""

    def document(self) -> dict[str, Any]:
        """Its JSON, with one text for people."""
        return {**asdict(self), "said": self.said()}


P = TypeVar("P", bound=Progress)


class Job(Generic[P]):
    """One job, in a thread of its own."""

    def __init__(self, progress: P, work: Callable[[Job[P]], None]) -> None:
        """Take what to do: `work` looks at `is_cancelled` between two steps."""
        self.progress = progress
        self._work = work
        self._cancelled = threading.Event()
        #: Held while the state changes, so that one that has ended is not called stopping.
        self._changing = threading.Lock()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"job-{progress.verb}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_cancelled(self) -> bool:
        """Whether the work is to end between two steps."""
        return self._cancelled.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def cancel(self, who: str) -> None:
        """Let it end between two steps; nothing when it has ended."""
        with self._changing:
            if self.progress.state == RUNNING:
                self.progress.stopped_by = who
                self.progress.state = STOPPING
                self._cancelled.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within so many seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        progress = self.progress
        try:
            self._work(self)
        except ProjError as error:
            progress.trouble = error.message
        except Exception as error:
            logger.exception("The job %s ended.", progress.verb, extra={"action": "dashboard_job_failed"})
            progress.trouble = f"{type(error).__name__}: {shown(error)}."
        progress.ended = round(time.time(), 3)
        progress.seconds = round(time.monotonic() - self._began, 1)
        with self._changing:
            stopped = self.is_cancelled and not progress.is_whole
            progress.state = FAILED if progress.trouble else STOPPED if stopped else DONE
