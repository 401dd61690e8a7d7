"""Attempts: one delivery of one task to one worker each, put together from Celery's events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SENT = "sent"
RECEIVED = "received"
STARTED = "started"
SUCCEEDED = "succeeded"

#: The event type of each way in which an attempt can end.
_ENDS = {f"task-{state}": state for state in (SUCCEEDED, "failed", "retried", "rejected", "revoked")}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One delivery of one task to one worker; times are seconds since the epoch, by the clock of who did it."""

    task_id: str
    #: sent, received, started, or how it ended: succeeded, failed, retried, rejected, revoked; or lost (started, and
    #: delivered to another worker since) or returned (received, and delivered to another worker since).
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


class Attempts:
    """The attempts so far, in the order in which they were first heard of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._attempts: list[Attempt] = []
        #: Where the latest attempt of each task stands in the list.
        self._latest: dict[str, int] = {}

    def __iter__(self) -> Iterator[Attempt]:
        """The attempts as they stand: a snapshot, since a thread may add to them."""
        return iter(tuple(self._attempts))

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from one event; an event that is not of a task is passed over."""
        kind, task_id, time = event.get("type"), event.get("uuid"), event.get("timestamp")
        if not isinstance(task_id, str) or not isinstance(time, (int, float)):
            return
        if kind == "task-sent":
            self._learn(task_id, sent=time, queue=event.get("queue"), arguments=event.get("args") or "")
        elif kind == "task-received":
            self._deliver(task_id, worker=event.get("hostname"), time=time)
        elif kind == "task-started":
            self._learn(task_id, state=STARTED, started=time, worker=event.get("hostname"))
        elif kind in _ENDS:
            runtime_s = event.get("runtime")
            self._learn(task_id, state=_ENDS[kind], finished=time, runtime_s=runtime_s, worker=event.get("hostname"))

    def _deliver(self, task_id: str, *, worker: str | None, time: float) -> None:
        """A delivery is the task's first, or another attempt that overwrites nothing."""
        current = self._current(task_id)
        if current is not None and current.received is not None:
            again = replace(current, received=None, started=None, finished=None, runtime_s=None)
            self._append(again)
        self._learn(task_id, state=RECEIVED, received=time, worker=worker)

    def _learn(self, task_id: str, **known: Any) -> None:  # noqa: ANN401 the fields of an attempt
        current = self._current(task_id)
        if current is None:
            current = Attempt(task_id=task_id, state=SENT)
            self._append(current)
        self._attempts[self._latest[task_id]] = replace(current, **known)

    def _append(self, attempt: Attempt) -> None:
        self._latest[attempt.task_id] = len(self._attempts)
        self._attempts.append(attempt)

    def _current(self, task_id: str) -> Attempt | None:
        place = self._latest.get(task_id)
        return None if place is None else self._attempts[place]
