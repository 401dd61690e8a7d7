"""The usual order of a task's events: sent, received, started and ended, once each. Most tasks have no others.

An attempt whose events come so is extended field by field. This gives the same attempt as `proj.journal.attempts`
makes from all its events, in a tenth of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.journal.attempt import Attempt
from proj.journal.event import ENDS, RECEIVED, SENT, STARTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.event import TaskEvent

#: The fields of an attempt before its first event.
_UNKNOWN = vars(Attempt(task_id="", state=SENT))


def sent_attempt(sent: TaskEvent) -> Attempt:
    """The attempt of a task that was sent, and that no worker has received."""
    return Attempt(
        task_id=sent.task_id,
        state=SENT,
        name=sent.name,
        queue=sent.queue,
        arguments=sent.arguments,
        retries=sent.retries or 0,
        eta=sent.eta,
        sent=sent.time,
    )


def extended_in_usual_order(attempts: Sequence[Attempt], events: Iterable[TaskEvent]) -> Attempt | None:
    """The only attempt of a task, with further events in the usual order; None if the order is any other."""
    if len(attempts) > 1:
        return None
    values = dict(vars(attempts[0])) if attempts else None
    if values is not None and (values["number"] or values["redelivered"]):
        return None
    for event in events:
        if values is None:
            values = _first(event)
            if values is None:
                return None
        elif not _extend(values, event):
            return None
    if values is None:
        return None
    if values["sent"] is None and values["received"] is None:
        # No other event tells the queue. One that was written into the journal was inferred from the worker.
        values["queue"] = None
    # Without the constructor of the frozen class, which takes three times as long.
    attempt = Attempt.__new__(Attempt)
    vars(attempt).update(values)
    return attempt


def _first(event: TaskEvent) -> dict[str, Any] | None:
    """The fields of an attempt whose first event this is; None if the usual order does not begin with it."""
    if event.kind == SENT:
        return dict(vars(sent_attempt(event)))
    if event.kind != RECEIVED:
        return None
    values = dict(_UNKNOWN)
    values.update(
        task_id=event.task_id,
        state=RECEIVED,
        name=event.name,
        queue=event.queue,
        worker=event.host,
        arguments=event.arguments,
        retries=event.retries or 0,
        eta=event.eta,
        received=event.time,
    )
    return values


def _extend(values: dict[str, Any], event: TaskEvent) -> bool:
    """Add the event to the fields of an attempt, if it is the next of the usual order; return whether it was."""
    kind, state, received = event.kind, values["state"], values["received"]
    if kind == RECEIVED:
        if state != SENT or received is not None or values["retries"] != (event.retries or 0):
            return False
        values.update(
            state=RECEIVED,
            name=event.name or values["name"],
            queue=values["queue"] or event.queue,
            worker=event.host,
            arguments=values["arguments"] or event.arguments,
            eta=values["eta"] or event.eta,
            received=event.time,
        )
        return True
    # The further events must come from the worker that received it, in the order of that worker's clock.
    if received is None or values["worker"] != event.host:
        return False
    if kind == STARTED and state == RECEIVED and event.time >= received:
        values["state"], values["started"] = STARTED, event.time
        return True
    if kind in ENDS and state == STARTED and event.time >= max(values["started"], received):
        values["state"], values["finished"], values["runtime_s"] = kind, event.time, event.runtime_s
        return True
    return False
