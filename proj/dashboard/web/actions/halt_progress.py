"""Halt progress: which of the workers that were told to halt have stopped, or what their queue waits for before."""

from __future__ import annotations

from dataclasses import dataclass, field

from proj.dashboard.web.actions.job import FAILED, STOPPED, STOPPING, Progress
from proj.plural import counted


@dataclass(kw_only=True)
class HaltProgress(Progress):
    """How far a halt is."""

    key: str
    #: The worker, or the queue whose workers it is of.
    name: str
    workers: list[str]
    #: What is left of the queue that is to be empty first; None once the workers are told, or without a drain.
    left: str | None = None
    #: Whether the workers were told.
    told: bool = False
    #: Those that have stopped.
    stopped: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether all have stopped."""
        return len(self.stopped) == len(self.workers)

    def said(self) -> str:
        """How far it is."""
        if self.state == FAILED:
            return f"{self.name}: {self.trouble}"
        if not self.told:
            if self.state in {STOPPED, STOPPING}:
                return f"{self.stopped_by} cancelled it: no worker of {self.name} was halted."
            return f"{self.name} is to be empty before its {counted(len(self.workers), 'worker')} halt: {self.left}."
        others = [name for name in self.workers if name not in self.stopped]
        said = f"{len(self.stopped)} of {counted(len(self.workers), 'worker')} stopped"
        if not others:
            return f"{said}: {', '.join(self.stopped)}."
        end = "ends its tasks" if len(others) == 1 else "end their tasks"
        if self.ended is not None:
            end = "had not ended when nobody waited any more"
        return f"{said}; {', '.join(others)} {end}."
