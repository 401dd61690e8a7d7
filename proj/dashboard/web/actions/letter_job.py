"""Letter job: work on dead letters in the background, which tells how far it is and can be cancelled."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from proj.errors import ProjError
from proj.journal.actions import REQUEUE
from proj.plural import counted
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "done", "stopped", "failed"
#: Letters that are named one by one.
MOST_NAMED = 100


@dataclass(kw_only=True)
class Progress:
    """How far a job is; its thread writes, and any thread reads."""

    verb: str
    #: The name of the dead-letter queue.
    queue: str
    who: str
    #: Letters that were chosen.
    total: int
    state: str = RUNNING
    #: Letters that were requeued or removed, and those that could not be.
    done: int = 0
    failed: int = 0
    #: Of those that are in their queue perhaps twice: how many, and the ids of the first.
    doubles: int = 0
    twice: list[str] = field(default_factory=list)
    #: Why the first ones could not be requeued.
    errors: list[str] = field(default_factory=list)
    #: Why it ended before all were done.
    trouble: str | None = None
    stopped_by: str | None = None
    seconds: float = 0.0
    #: When it ended, in seconds since the epoch.
    ended: float | None = None

    def double(self, letter_id: str) -> None:
        """Note a letter that may be in its queue twice."""
        self.doubles += 1
        if len(self.twice) < MOST_NAMED:
            self.twice.append(letter_id)

    def fail(self, why: str) -> None:
        """Note a letter that stays where it is."""
        self.failed += 1
        if len(self.errors) < MOST_NAMED:
            self.errors.append(why)

    def document(self) -> dict[str, Any]:
        """Its JSON, with one text for people."""
        return {**asdict(self), "said": said(self)}


def said(progress: Progress) -> str:
    """How far a job is, and what became of the letters, in plain sentences."""
    verb = "requeued" if progress.verb == REQUEUE else "removed"
    of = f"{progress.done:,} of {counted(progress.total, 'letter')}"
    be = "was" if progress.total == 1 else "were"
    left = progress.total - progress.done - progress.failed
    parts = {
        RUNNING: [f"{of} {be} {verb} so far."],
        STOPPING: [f"{of} {be} {verb}; it is being cancelled."],
        DONE: [f"{of} {be} {verb} in {progress.seconds:.1f} s."],
        STOPPED: [f"{progress.stopped_by} cancelled it: {of} {be} {verb}, and {left:,} stay in {progress.queue}."],
        FAILED: [f"It ended after {of}: {progress.trouble} The others stay in {progress.queue}."],
    }[progress.state]
    if progress.state == DONE and left:
        parts.append(f"{left:,} {'was' if left == 1 else 'were'} not in {progress.queue} any more.")
    if progress.failed:
        parts.append(
            f"{progress.failed:,} could not be {verb}, and stay{'s' * (progress.failed == 1)}: {progress.errors[0]}"
        )
    if progress.doubles:
        names = ", ".join(progress.twice)
        more = f" and {progress.doubles - len(progress.twice):,} more" if progress.doubles > len(progress.twice) else ""
        parts.append(
            f"{progress.doubles:,} may be in {'its' if progress.doubles == 1 else 'their'} queue twice, because an "
            f"earlier requeue was killed while it was at work on {'it' if progress.doubles == 1 else 'them'}: "
            f"{names}{more}."
        )
    if progress.state == FAILED and progress.verb == REQUEUE:
        parts.append("The next requeue names each letter that this one may have requeued.")
    return " ".join(parts)


class LetterJob:
    """One job, in a thread of its own."""

    def __init__(self, progress: Progress, work: Callable[[LetterJob], None]) -> None:
        """Take what to do: `work` looks at `is_cancelled` between two letters."""
        self.progress = progress
        self._work = work
        self._cancelled = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="letter-job")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_cancelled(self) -> bool:
        """Whether the work is to end between two letters."""
        return self._cancelled.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def cancel(self, who: str) -> None:
        """Let it end between two letters; nothing when it has ended."""
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
            logger.exception("The work on dead letters ended.", extra={"action": "letter_job_failed"})
            progress.trouble = f"{type(error).__name__}: {shown(error)}."
        progress.ended = round(time.time(), 3)
        progress.seconds = round(time.monotonic() - self._began, 1)
        progress.state = (
            FAILED
            if progress.trouble
            else STOPPED
            if self.is_cancelled and progress.done + progress.failed < progress.total
            else DONE
        )
