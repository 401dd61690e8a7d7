"""How events of tasks become attempts: whatever their order, and however often they are told.

An attempt that is written down says the same as the events that it was made of. So new events of a task are
added to what its attempts say, and all of it is told again from the beginning, in the order of its times:

    attempts so far -> facts + new facts -> by retries and worker -> attempts

Facts of one worker are ordered by its own clock alone, so that a difference between clocks cannot split an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from proj.journal.attempt import Attempt
from proj.journal.event import ENDS, RECEIVED, RETRIED, REVOKED, SENT, STARTED, TaskEvent, parsed
from proj.queues import COPYING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LOST = "lost"
RETURNED = "returned"
#: States that no worker told as an end, so that a further event may change them.
_OPEN = frozenset({SENT, RECEIVED, STARTED, LOST, RETURNED})

#: The fields of an attempt of which nothing is known yet.
_NOTHING = Attempt(task_id="", state=SENT).__dict__

#: What comes first of two facts of one time.
_ORDER = {SENT: 0, RECEIVED: 1, STARTED: 2}
_END = 3


@dataclass
class _Delivery:
    """What one worker told of one delivery."""

    worker: str | None
    received: TaskEvent | None = None
    started: TaskEvent | None = None
    end: TaskEvent | None = None
    retries: int = 0

    @property
    def time(self) -> float:
        """When it was first heard of."""
        return next(fact.time for fact in (self.received, self.started, self.end) if fact is not None)


@dataclass
class _Try:
    """One try of a task: what was sent once, and all its deliveries."""

    sent: TaskEvent | None = None
    deliveries: list[_Delivery] = field(default_factory=list)


class Attempts:
    """The attempts so far of every task, tasks in the order in which they were first heard of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: dict[str, tuple[Attempt, ...]] = {}

    def __iter__(self) -> Iterator[Attempt]:
        """The attempts as they stand: a snapshot, since a thread may add to them."""
        for attempts in tuple(self._tasks.values()):
            yield from attempts

    def add(self, event: Mapping[str, Any]) -> None:
        """Learn from one event; one that is not of a task, or malformed, is passed over."""
        known = parsed(event)
        if isinstance(known, TaskEvent):
            self._tasks[known.task_id] = tuple(updated_attempts(self._tasks.get(known.task_id, ()), [known]))


def updated_attempts(attempts: Sequence[Attempt], events: Sequence[TaskEvent]) -> list[Attempt]:
    """All attempts of one task, given those known so far and further events of it, by number."""
    return _continued(attempts, events) or _retold(attempts, events)


def _continued(attempts: Sequence[Attempt], events: Iterable[TaskEvent]) -> list[Attempt] | None:
    """The only attempt of a task with events in the usual order: the same as telling all again, in a tenth of the time.

    None when the order is any other.
    """
    if len(attempts) > 1:
        return None
    values = dict(attempts[0].__dict__) if attempts else None
    if values is not None and (values["number"] or values["redelivered"]):
        return None
    for event in events:
        if values is None:
            values = _begun(event)
            if values is None:
                return None
        elif not _goes_on(values, event):
            return None
    if values is None:
        return None
    if values["sent"] is None:
        # Only the publish tells the queue.
        values["queue"] = None
    attempt = Attempt.__new__(Attempt)
    attempt.__dict__.update(values)
    return [attempt]


def _begun(event: TaskEvent) -> dict[str, Any] | None:
    """The fields of an attempt of which this is the first event; None when it began with another."""
    if event.kind == SENT:
        return {**_NOTHING, **_waiting(event).__dict__}
    if event.kind != RECEIVED:
        return None
    values = dict(_NOTHING)
    values.update(
        task_id=event.task_id,
        state=RECEIVED,
        name=event.name,
        worker=event.host,
        arguments=event.arguments,
        retries=event.retries or 0,
        eta=event.eta,
        received=event.time,
    )
    return values


def _goes_on(values: dict[str, Any], event: TaskEvent) -> bool:
    """Whether the event is the next of the usual order; then its fields are filled in."""
    kind, state, received = event.kind, values["state"], values["received"]
    if kind == RECEIVED:
        if state != SENT or received is not None or values["retries"] != (event.retries or 0):
            return False
        values.update(
            state=RECEIVED,
            name=event.name or values["name"],
            worker=event.host,
            arguments=values["arguments"] or event.arguments,
            eta=values["eta"] or event.eta,
            received=event.time,
        )
        return True
    # From here on the worker has it, and the order is that of its own clock.
    if received is None or values["worker"] != event.host:
        return False
    if kind == STARTED and state == RECEIVED and event.time >= received:
        values["state"], values["started"] = STARTED, event.time
        return True
    if kind in ENDS and state == STARTED and event.time >= max(values["started"], received):
        values["state"], values["finished"], values["runtime_s"] = kind, event.time, event.runtime_s
        return True
    return False


def _retold(attempts: Sequence[Attempt], events: Iterable[TaskEvent]) -> list[Attempt]:
    task_id, run, facts = "", None, {}
    for attempt in attempts:
        task_id, run = attempt.task_id, run or attempt.run
        facts.update({(fact.kind, fact.time, fact.host): fact for fact in _facts(attempt)})
    for event in events:
        task_id = event.task_id
        # The worker may be told of with the same fact again; what is known already stays.
        facts.setdefault((event.kind, event.time, event.host), event)
    if not attempts and len(facts) == 1:
        (fact,) = facts.values()
        if fact.kind == SENT:
            return [_waiting(fact)]
    told = list(_told(task_id, sorted(facts.values(), key=_when)))
    if len(told) == 1 and run is None:
        return told
    return [replace(attempt, number=number, run=run) for number, attempt in enumerate(told)]


def extends(attempts: Sequence[Attempt], earlier: Sequence[Attempt]) -> bool:
    """Whether `attempts` only fill in what `earlier` left open, so that nothing written down has to be taken back."""
    return len(attempts) >= len(earlier) and all(
        was == now or (was in _OPEN if name == "state" else was in {None, ""})
        for before, after in zip(earlier, attempts, strict=False)
        for (name, was), now in zip(before.__dict__.items(), after.__dict__.values(), strict=True)
    )


def _when(fact: TaskEvent) -> tuple[float, int, str, str]:
    return fact.time, _ORDER.get(fact.kind, _END), fact.kind, fact.host or ""


def _facts(attempt: Attempt) -> Iterator[TaskEvent]:
    """The events that an attempt was made of, as far as it kept them."""
    of = attempt.task_id
    told = (attempt.name, attempt.queue, attempt.arguments, attempt.retries, attempt.eta)
    if attempt.sent is not None:
        yield TaskEvent(of, SENT, attempt.sent, None, *told)
    if attempt.received is not None:
        yield TaskEvent(of, RECEIVED, attempt.received, attempt.worker, *told)
    # A retry count that no event told is inferred again, for a later event may tell otherwise.
    if attempt.started is not None:
        yield TaskEvent(of, STARTED, attempt.started, attempt.worker)
    if attempt.finished is not None:
        yield TaskEvent(of, attempt.state, attempt.finished, attempt.worker, runtime_s=attempt.runtime_s)


def _told(task_id: str, facts: list[TaskEvent]) -> Iterator[Attempt]:
    tries: dict[int, _Try] = {}
    for fact in facts:
        if fact.kind == SENT:
            tried = tries.setdefault(fact.retries or 0, _Try())
            tried.sent = tried.sent or fact
    for delivery in _deliveries(facts):
        tries.setdefault(delivery.retries, _Try()).deliveries.append(delivery)
    for retries, tried in sorted(tries.items()):
        if not tried.deliveries and tried.sent is not None:
            yield _waiting(tried.sent)
        for delivery in tried.deliveries:
            # What was copied to several workers comes again to one of them only after it came to that one.
            copied = tried.sent is not None and tried.sent.queue in COPYING
            same = [one for one in tried.deliveries if not copied or one.worker == delivery.worker]
            yield _attempt(
                task_id,
                tried.sent,
                delivery,
                redelivered=delivery is not same[0],
                superseded=delivery is not same[-1],
                retried=retries < max(tries),
            )


def _deliveries(facts: list[TaskEvent]) -> list[_Delivery]:
    """The deliveries that the facts tell of, by time; each worker's are told apart by its own clock."""
    by_worker: dict[str | None, list[_Delivery]] = {}
    for fact in facts:
        if fact.kind != SENT:
            _tell(by_worker.setdefault(fact.host, []), fact)
    deliveries = sorted((one for those in by_worker.values() for one in those), key=lambda one: one.time)
    latest = 0
    for delivery in deliveries:
        if delivery.received is not None:
            delivery.retries = delivery.received.retries or 0
        else:
            delivery.retries = latest
        ended = delivery.end is not None and delivery.end.kind == RETRIED
        latest = max(latest, delivery.retries + ended)
    return deliveries


def _tell(deliveries: list[_Delivery], fact: TaskEvent) -> None:
    """Add the next fact of a worker to its deliveries."""
    if fact.kind == RECEIVED:
        deliveries.append(_Delivery(fact.host, received=fact))
        return
    open_ = [delivery for delivery in deliveries if delivery.end is None]
    if fact.kind == STARTED:
        # A worker that was given it again, after its connection broke, starts what it was given last.
        mine = next((delivery for delivery in reversed(open_) if delivery.started is None), None)
        if mine is None:
            deliveries.append(_Delivery(fact.host, started=fact))
        else:
            mine.started = fact
        return
    # When no start was told, it ends what it was given last.
    mine = min((one for one in open_ if one.started), key=partial(_misfit, fact), default=open_[-1] if open_ else None)
    if mine is not None:
        mine.end = fact
    elif not deliveries or deliveries[-1].end is None or REVOKED not in {deliveries[-1].end.kind, fact.kind}:
        deliveries.append(_Delivery(fact.host, end=fact))
    # Else it is the other end of what was revoked while it ran: Celery may tell both.


def _misfit(end: TaskEvent, delivery: _Delivery) -> tuple[float, float]:
    """How far the run time of an end is from that of a delivery that it may end; the latest start, if it has none.

    A worker has two at once when its connection broke, and it goes on with the first; or when it was killed and
    started again under its name, and only the second can end.
    """
    began = delivery.started.time if delivery.started else 0.0
    return (0.0 if end.runtime_s is None else abs(end.time - began - end.runtime_s)), -began


def _waiting(sent: TaskEvent) -> Attempt:
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


def _attempt(
    task_id: str, sent: TaskEvent | None, delivery: _Delivery, *, redelivered: bool, superseded: bool, retried: bool
) -> Attempt:
    received, started, end = delivery.received, delivery.started, delivery.end
    told = received or sent
    if end is not None:
        state = end.kind
    elif superseded:
        state = LOST if started else RETURNED
    elif retried:
        # There is a later try, so this one asked for it.
        state = RETRIED
    else:
        state = STARTED if started else RECEIVED
    return Attempt(
        task_id=task_id,
        state=state,
        name=(received and received.name) or (sent and sent.name) or None,
        queue=sent.queue if sent else None,
        worker=delivery.worker,
        # The producer's and the worker's text are the same, unless one of them was cut.
        arguments=(sent.arguments if sent else "") or (told.arguments if told else ""),
        retries=delivery.retries,
        redelivered=redelivered,
        eta=(sent and sent.eta) or (received.eta if received else None),
        sent=sent.time if sent else None,
        received=received.time if received else None,
        started=started.time if started else None,
        finished=end.time if end else None,
        runtime_s=end.runtime_s if end else None,
    )
