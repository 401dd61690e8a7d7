"""Attempt: one delivery of one task to one worker, and the states that it can be in."""

from __future__ import annotations

from dataclasses import dataclass

from proj.journal.event import RECEIVED, SENT, STARTED, SUCCEEDED

#: States of an attempt that has not ended.
OPEN = frozenset({SENT, RECEIVED, STARTED})
#: The state of a delivery that was started before the task was delivered again.
LOST = "lost"
#: The state of a delivery that was received and not started before the task was delivered again.
RETURNED = "returned"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One delivery of one task to one worker.

    Times are in seconds since the epoch: `sent` and `eta` by the producer's clock, the others by the worker's.
    """

    task_id: str
    #: sent, received or started; or how it ended: succeeded, failed, retried, rejected, revoked, expired; or lost or
    #: returned, if the task was delivered again before an end was reported.
    state: str
    #: 0 for the first delivery of the task, one more for each further delivery.
    number: int = 0
    #: The name of the task, such as "proj.tasks.work".
    name: str | None = None
    queue: str | None = None
    worker: str | None = None
    #: The positional arguments, as printed by the producer or the worker.
    arguments: str = ""
    #: How often the task had been retried before.
    retries: int = 0
    #: Whether an earlier delivery of the same try was lost or returned.
    redelivered: bool = False
    #: When the task may start, if it has a countdown or an ETA.
    eta: float | None = None
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    #: Seconds of work by the clock of the pool process; None unless a `task-succeeded` event reported it.
    runtime_s: float | None = None
    #: The name of the run that it belongs to.
    run: str | None = None

    @property
    def held(self) -> bool:
        """Whether a worker has received it and not started it."""
        return self.state == RECEIVED

    @property
    def running(self) -> bool:
        """Whether a worker has started it and not ended it."""
        return self.state == STARTED

    @property
    def succeeded(self) -> bool:
        """Whether it ended with success."""
        return self.state == SUCCEEDED
