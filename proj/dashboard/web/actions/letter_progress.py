"""Letter progress: how far a requeue or a removal of dead letters is, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from proj.dashboard.web.actions.job import DONE, FAILED, RUNNING, STOPPED, STOPPING, Progress
from proj.journal.actions import REQUEUE
from proj.plural import counted

#: Letters that are named one by one.
MOST_NAMED = 100


@dataclass(kw_only=True)
class LetterProgress(Progress):
    """How far work on dead letters is."""

    #: The name of the dead-letter queue.
    queue: str
    #: Letters that were chosen.
    total: int
    #: Letters that were requeued or removed, and those that could not be.
    done: int = 0
    failed: int = 0
    #: Of those that are in their queue perhaps twice: how many, and the ids of the first.
    doubles: int = 0
    twice: list[str] = field(default_factory=list)
    #: Why the first ones could not be requeued.
    errors: list[str] = field(default_factory=list)
    #: Why the next requeue could not name doubles if this one is killed; None when it can.
    warning: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every letter was gone through."""
        return self.done + self.failed >= self.total

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

    def said(self) -> str:
        """How far it is, what stays, and each double."""
        verb = "requeued" if self.verb == REQUEUE else "removed"
        of = f"{self.done:,} of {counted(self.total, 'letter')}"
        be = "was" if self.total == 1 else "were"
        left = self.total - self.done - self.failed
        parts = {
            RUNNING: [f"{of} {be} {verb} so far."],
            STOPPING: [f"{of} {be} {verb}; it is being cancelled."],
            DONE: [f"{of} {be} {verb} in {self.seconds:.1f} s."],
            STOPPED: [f"{self.stopped_by} cancelled it: {of} {be} {verb}, and {left:,} stay in {self.queue}."],
            FAILED: [f"It ended after {of}: {self.trouble} The others stay in {self.queue}."],
        }[self.state]
        if self.state == DONE and left:
            parts.append(f"{left:,} {'was' if left == 1 else 'were'} not in {self.queue} any more.")
        if self.failed:
            stay = "stays" if self.failed == 1 else "stay"
            parts.append(f"{self.failed:,} could not be {verb}, and {stay}: {self.errors[0]}")
        if self.doubles:
            parts.append(self._doubles())
        if self.warning and self.state not in {DONE, STOPPED}:
            parts.append(self.warning)
        elif self.state == FAILED and self.verb == REQUEUE:
            parts.append("The next requeue names each letter that this one may have requeued.")
        return " ".join(parts)

    def _doubles(self) -> str:
        its, it = ("its", "it") if self.doubles == 1 else ("their", "them")
        more = f" and {self.doubles - len(self.twice):,} more" if self.doubles > len(self.twice) else ""
        return (
            f"{self.doubles:,} may be in {its} queue twice, because an earlier requeue was killed while it was at "
            f"work on {it}: {', '.join(self.twice)}{more}."
        )
