"""An attempt: one delivery of one task to one worker."""

from __future__ import annotations

from dataclasses import dataclass

from proj.journal.event import RECEIVED, STARTED, SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One delivery of one task to one worker; times are seconds since the epoch, by the clock of who did it."""

    task_id: str
    #: sent, received, started, or how it ended: succeeded, failed, retried, rejected, revoked, expired; or lost
    #: (started, and delivered to another worker since) or returned (received, and delivered to another worker since).
    state: str
    #: 0 for the task's first delivery, one more for each further one.
    number: int = 0
    #: The name of the task, such as "proj.tasks.work".
    name: str | None = None
    queue: str | None = None
    worker: str | None = None
    #: Positional arguments as the producer printed them.
    arguments: str = ""
    #: How often the task had asked to be retried before.
    retries: int = 0
    #: Whether an earlier delivery of the same try was lost or returned.
    redelivered: bool = False
    #: When it is due, for a task with a countdown or an eta.
    eta: float | None = None
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    #: Seconds of work by the pool process's own clock; None while it runs, or if no event said it.
    runtime_s: float | None = None
    #: The run that it belongs to, by name.
    run: str | None = None

    @property
    def held(self) -> bool:
        """Whether a worker has it and did not start it."""
        return self.state == RECEIVED

    @property
    def running(self) -> bool:
        """Whether a worker is at it."""
        return self.state == STARTED

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self.state == SUCCEEDED
