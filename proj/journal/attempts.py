"""Attempts of tasks, made from their events: the same whatever order the events come in, and however often.

An attempt in the journal holds the same facts as the events that it was made from. So new events of a task are
combined with its attempts like this:

    attempts -> their events + new events, by time -> deliveries, by worker -> tries, by retries -> attempts
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proj.journal.attempt import LOST, OPEN, RETURNED, Attempt
from proj.journal.deliveries import Delivery, deliveries_of
from proj.journal.event import RECEIVED, RETRIED, SENT, STARTED, TaskEvent, parsed
from proj.journal.usual_order import extended_in_usual_order, sent_attempt
from proj.queues import COPYING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: States that a further event of the task may change: no worker reported them as an end.
_CHANGEABLE = OPEN | {LOST, RETURNED}
#: The order of two events that have the same time.
_ORDER = {SENT: 0, RECEIVED: 1, STARTED: 2}
_END = 3


@dataclass
class _Try:
    """One try of a task: its publish and all deliveries of that message."""

    sent: TaskEvent | None = None
    deliveries: list[Delivery] = field(default_factory=list)


class Attempts:
    """The attempts of every task, in memory. Tasks stay in the order of their first events."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: dict[str, tuple[Attempt, ...]] = {}

    def __iter__(self) -> Iterator[Attempt]:
        """The attempts at this moment; another thread may add events meanwhile."""
        for attempts in tuple(self._tasks.values()):
            yield from attempts

    def add(self, event: object) -> None:
        """Add one event. An event that is malformed, or not of a task, is ignored."""
        known = parsed(event)
        if isinstance(known, TaskEvent):
            self._tasks[known.task_id] = tuple(updated_attempts(self._tasks.get(known.task_id, ()), [known]))


def updated_attempts(attempts: Sequence[Attempt], events: Sequence[TaskEvent]) -> list[Attempt]:
    """All attempts of one task by number, from its attempts so far and further events of it."""
    attempt = extended_in_usual_order(attempts, events)
    return rebuilt_attempts(attempts, events) if attempt is None else [attempt]


def rebuilt_attempts(attempts: Sequence[Attempt], events: Iterable[TaskEvent]) -> list[Attempt]:
    """The same as `updated_attempts`, for events in any order."""
    task_id, run = "", None
    by_identity: dict[tuple[str, float, str | None], TaskEvent] = {}
    for attempt in attempts:
        task_id, run = attempt.task_id, run or attempt.run
        by_identity.update({(event.kind, event.time, event.host): event for event in _events(attempt)})
    for event in events:
        task_id = event.task_id
        # An event that comes a second time changes nothing.
        by_identity.setdefault((event.kind, event.time, event.host), event)
    if not attempts and len(by_identity) == 1:
        (event,) = by_identity.values()
        if event.kind == SENT:
            return [sent_attempt(event)]
    rebuilt = list(_rebuilt(task_id, sorted(by_identity.values(), key=_position)))
    if len(rebuilt) == 1 and run is None:
        return rebuilt
    return [replace(attempt, number=number, run=run) for number, attempt in enumerate(rebuilt)]


def extends(attempts: Sequence[Attempt], earlier: Sequence[Attempt]) -> bool:
    """Whether `attempts` only fill in what `earlier` left open, so that nothing in the journal has to be replaced."""
    return len(attempts) >= len(earlier) and all(
        was == now or (was in _CHANGEABLE if name == "state" else was in {None, ""})
        for before, after in zip(earlier, attempts, strict=False)
        for (name, was), now in zip(vars(before).items(), vars(after).values(), strict=True)
    )


def _position(event: TaskEvent) -> tuple[float, int, str, str]:
    return event.time, _ORDER.get(event.kind, _END), event.kind, event.host or ""


def _events(attempt: Attempt) -> Iterator[TaskEvent]:
    """The events that an attempt was made from, as far as it keeps them."""
    task_id = attempt.task_id
    about_task = (attempt.name, attempt.queue, attempt.arguments, attempt.retries, attempt.eta)
    if attempt.sent is not None:
        yield TaskEvent(task_id, SENT, attempt.sent, None, *about_task)
    if attempt.received is not None:
        yield TaskEvent(task_id, RECEIVED, attempt.received, attempt.worker, *about_task)
    # Without `retries`: if no event reported it, it is inferred again, because a later event may change the result.
    if attempt.started is not None:
        yield TaskEvent(task_id, STARTED, attempt.started, attempt.worker)
    if attempt.finished is not None:
        yield TaskEvent(task_id, attempt.state, attempt.finished, attempt.worker, runtime_s=attempt.runtime_s)


def _rebuilt(task_id: str, events: list[TaskEvent]) -> Iterator[Attempt]:
    tries: dict[int, _Try] = {}
    for event in events:
        if event.kind == SENT:
            one_try = tries.setdefault(event.retries or 0, _Try())
            one_try.sent = one_try.sent or event
    for delivery in deliveries_of(events):
        tries.setdefault(delivery.retries, _Try()).deliveries.append(delivery)
    for retries, one_try in sorted(tries.items()):
        if not one_try.deliveries and one_try.sent is not None:
            yield sent_attempt(one_try.sent)
        for delivery in one_try.deliveries:
            # An exchange that copies a message to several workers delivers it to each of them. Only a second delivery
            # to the same worker is then a redelivery.
            copied = one_try.sent is not None and one_try.sent.queue in COPYING
            same = [one for one in one_try.deliveries if not copied or one.worker == delivery.worker]
            yield _attempt(
                task_id,
                one_try.sent,
                delivery,
                redelivered=delivery is not same[0],
                superseded=delivery is not same[-1],
                retried=retries < max(tries),
            )


def _attempt(
    task_id: str, sent: TaskEvent | None, delivery: Delivery, *, redelivered: bool, superseded: bool, retried: bool
) -> Attempt:
    received, started, end = delivery.received, delivery.started, delivery.end
    described_by = received or sent
    if end is not None:
        state = end.kind
    elif superseded:
        state = LOST if started else RETURNED
    elif retried:
        # A later try exists, so this one asked for a retry.
        state = RETRIED
    else:
        state = STARTED if started else RECEIVED
    return Attempt(
        task_id=task_id,
        state=state,
        name=(received and received.name) or (sent and sent.name) or None,
        queue=(sent and sent.queue) or (received and received.queue) or None,
        worker=delivery.worker,
        # The producer and the worker print the same text, unless one of them cut it.
        arguments=(sent.arguments if sent else "") or (described_by.arguments if described_by else ""),
        retries=delivery.retries,
        redelivered=redelivered,
        eta=(sent and sent.eta) or (received.eta if received else None),
        sent=sent.time if sent else None,
        received=received.time if received else None,
        started=started.time if started else None,
        finished=end.time if end else None,
        runtime_s=end.runtime_s if end else None,
    )
