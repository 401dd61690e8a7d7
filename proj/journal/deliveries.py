"""Deliveries of one task: which of its worker's events belong to the same delivery."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from proj.journal.event import RECEIVED, RETRIED, REVOKED, SENT, STARTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.event import TaskEvent


@dataclass
class Delivery:
    """The events of one delivery of one task, all from one worker."""

    worker: str | None
    received: TaskEvent | None = None
    started: TaskEvent | None = None
    end: TaskEvent | None = None
    #: How often the task had been retried before.
    retries: int = 0

    @property
    def time(self) -> float:
        """The time of its first event, in seconds since the epoch."""
        return next(event.time for event in (self.received, self.started, self.end) if event is not None)


def deliveries_of(events: Sequence[TaskEvent]) -> list[Delivery]:
    """The deliveries of one task, ordered by time, from all its events, ordered by time.

    The events of each worker are told apart by that worker's clock alone, so that a difference between the clocks of
    two workers cannot split a delivery.
    """
    by_worker: dict[str | None, list[Delivery]] = {}
    for event in events:
        if event.kind != SENT:
            _add(by_worker.setdefault(event.host, []), event)
    deliveries = sorted((one for own in by_worker.values() for one in own), key=lambda one: one.time)
    # Only `task-received` reports the number of retries. Without that event it follows from the deliveries before.
    latest = 0
    for delivery in deliveries:
        if delivery.received is not None:
            delivery.retries = delivery.received.retries or 0
        else:
            delivery.retries = latest
        asked_for_retry = delivery.end is not None and delivery.end.kind == RETRIED
        latest = max(latest, delivery.retries + asked_for_retry)
    return deliveries


def _add(deliveries: list[Delivery], event: TaskEvent) -> None:
    """Add the next event of a worker to its deliveries of the task."""
    if event.kind == RECEIVED:
        deliveries.append(Delivery(event.host, received=event))
        return
    open_ = [delivery for delivery in deliveries if delivery.end is None]
    if event.kind == STARTED:
        # A worker may receive a task again after its connection broke. It starts the delivery that came last.
        own = next((delivery for delivery in reversed(open_) if delivery.started is None), None)
        if own is None:
            deliveries.append(Delivery(event.host, started=event))
        else:
            own.started = event
        return
    started = [delivery for delivery in open_ if delivery.started]
    # Without any `task-started` event, the end is taken to be that of the delivery that came last.
    own = min(started, key=partial(_difference, event), default=open_[-1] if open_ else None)
    if own is not None:
        own.end = event
    elif not deliveries or deliveries[-1].end is None or REVOKED not in {deliveries[-1].end.kind, event.kind}:
        deliveries.append(Delivery(event.host, end=event))
    # Otherwise a running task was revoked: Celery may send a second end event for it, which is ignored.


def _difference(end: TaskEvent, delivery: Delivery) -> tuple[float, float]:
    """How badly an end event fits a started delivery; the delivery with the smallest value is the one that ended.

    The first value is the difference in seconds between the reported run time and the time since the start, or 0.0 if
    no run time was reported. The second prefers the latest start. A worker has two started deliveries of a task in two
    cases. Its connection broke while it worked: then the first usually ends first. Or it was killed and started again
    under its name: then only the second can end.
    """
    started = delivery.started.time if delivery.started else 0.0
    return (0.0 if end.runtime_s is None else abs(end.time - started - end.runtime_s)), -started
