"""Generated records with times in whole seconds, and a slow and simple reference for their figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from proj import metrics
from proj.journal.attempt import Attempt
from proj.journal.records import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Every second that an example can tell of: times are 0 to 20, less a run time of up to 5.
SECONDS = range(-5, 21)
NAMES = ("w1", "w2", "w3")
QUEUES = ("q1", "q2")
STATES = ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "lost", "returned")

times = st.none() | st.integers(0, 20).map(float)
attempt = st.builds(
    Attempt,
    # Few tasks, so that many have several attempts.
    task_id=st.sampled_from(("t1", "t2", "t3", "t4", "t5")),
    state=st.sampled_from(STATES),
    queue=st.none() | st.sampled_from(QUEUES),
    worker=st.none() | st.sampled_from(NAMES),
    redelivered=st.booleans(),
    eta=times,
    sent=times,
    received=times,
    started=times,
    finished=times,
    runtime_s=st.none() | st.integers(0, 5).map(float),
)
worker = st.builds(
    Worker,
    name=st.sampled_from((*NAMES, "w4")),
    slots=st.none() | st.integers(1, 3),
    queues=st.lists(st.sampled_from(QUEUES), unique=True).map(tuple),
)


def ordered(lifetime: Attempt) -> Attempt:
    """The same attempt with its times in order, so that half of the examples are possible ones."""
    known = iter(
        sorted(
            time for time in (lifetime.sent, lifetime.received, lifetime.started, lifetime.finished) if time is not None
        )
    )
    return replace(
        lifetime,
        **{
            name: next(known)
            for name in ("sent", "received", "started", "finished")
            if getattr(lifetime, name) is not None
        },
    )


@st.composite
def records(draw: st.DrawFn) -> tuple[list[Attempt], list[Worker]]:
    """Attempts, numbered within their tasks; most of them are impossible for a real worker."""
    drawn = draw(st.lists(attempt | attempt.map(ordered), max_size=8))
    numbers: dict[str, int] = {}
    attempts = []
    for one in drawn:
        numbers[one.task_id] = number = numbers.get(one.task_id, -1) + 1
        attempts.append(replace(one, number=number))
    workers = draw(st.lists(worker, max_size=4, unique_by=lambda known: known.name))
    return draw(st.permutations(attempts)), workers


several = settings(max_examples=200, deadline=None, database=None)


class Reference:
    """Computes each figure from its definition, second by second."""

    def __init__(self, attempts: Sequence[Attempt], workers: Sequence[Worker]) -> None:
        self.attempts = attempts
        self.records = {known.name: known for known in workers}
        stamps = [
            time for one in attempts for time in (one.sent, one.received, one.started, one.finished) if time is not None
        ]
        self.end = max(stamps, default=0.0)
        self.had = {
            name: [one for one in attempts if one.worker == name and self.received(one) is not None]
            for name in (*NAMES, "w4")
        }
        served = set().union(*(self.queues_of(one) for one in attempts))
        self.workers = [
            name for name in (*NAMES, "w4") if self.had[name] or (name in self.records and self.queues(name) & served)
        ]

    def started(self, one: Attempt) -> float | None:
        if one.started is not None:
            return one.started
        if one.finished is not None and one.runtime_s is not None:
            return one.finished - one.runtime_s
        return None

    def received(self, one: Attempt) -> float | None:
        if one.received is not None:
            return one.received
        if self.started(one) is not None:
            return self.started(one)
        return None if one.state in {"lost", "returned"} else one.finished

    def neighbour(self, one: Attempt, step: int) -> Attempt | None:
        return next(
            (other for other in self.attempts if (other.task_id, other.number) == (one.task_id, one.number + step)),
            None,
        )

    def ended(self, one: Attempt) -> float:
        if one.finished is not None:
            return one.finished
        after = self.neighbour(one, +1)
        if after is None:
            return self.end
        if after.sent is not None and after.sent != one.sent:
            return after.sent
        again = self.received(after)
        return self.end if again is None else again

    def ready(self, one: Attempt) -> float | None:
        before = self.neighbour(one, -1)
        if one.sent is None or before is None:
            return one.sent
        received = self.received(one)
        redelivered = self.end if received is None else received
        return max(one.sent, redelivered if before.finished is None else before.finished)

    def due(self, one: Attempt, second: int) -> bool:
        return one.eta is None or one.eta <= second

    def waits_in_broker(self, one: Attempt, second: int) -> bool:
        ready, received = self.ready(one), self.received(one)
        until = self.end if received is None else received
        return ready is not None and ready <= second < until and self.due(one, second)

    def held(self, one: Attempt, second: int) -> bool:
        received, started = self.received(one), self.started(one)
        until = self.ended(one) if started is None else started
        return received is not None and received <= second < until and self.due(one, second)

    def runs(self, one: Attempt, second: int) -> bool:
        started = self.started(one)
        return started is not None and started <= second < self.ended(one)

    def queues(self, name: str) -> set[str]:
        if name in self.records and self.records[name].queues:
            return set(self.records[name].queues)
        return {one.queue for one in self.had[name] if one.queue is not None} or {""}

    def queues_of(self, one: Attempt) -> set[str]:
        if one.queue is not None:
            return {one.queue}
        if one.worker is not None and (self.had[one.worker] or one.worker in self.records):
            return self.queues(one.worker)
        return {""}

    def running(self, name: str, second: int) -> int:
        return sum(self.runs(one, second) for one in self.had[name])

    def slots(self, name: str) -> int:
        asked = self.records[name].slots if name in self.records else None
        return asked or max(1, *(self.running(name, second) for second in SECONDS))

    def present(self, name: str, second: int) -> bool:
        signs = [
            time
            for one in self.had[name]
            for time in (one.received, one.started, one.finished if one.state not in {"lost", "returned"} else None)
            if time is not None
        ]
        if not signs or not min(signs) <= second < self.end:
            return False
        for one in self.had[name]:
            if one.state in {"lost", "returned"}:
                again = self.ended(one)
                last = max((sign for sign in signs if sign < again), default=min(signs))
                following = min((sign for sign in signs if sign >= again), default=self.end)
                if last <= second < following:
                    return False
        return True

    def free(self, name: str, second: int) -> bool:
        return self.present(name, second) and self.running(name, second) < self.slots(name)

    def avoidable(self, one: Attempt) -> int:
        return sum(
            self.held(one, second)
            and any(
                self.free(name, second)
                for name in self.workers
                if name != one.worker and self.queues_of(one) <= self.queues(name)
            )
            for second in SECONDS
        )

    def idle_while_backlog(self, name: str) -> int:
        return sum(
            self.free(name, second)
            and any(
                self.waits_in_broker(one, second) or (one.worker != name and self.held(one, second))
                for one in self.attempts
                if self.queues_of(one) <= self.queues(name)
            )
            for second in SECONDS
        )

    def waits_for_eta(self, one: Attempt, second: int) -> bool:
        since, started = self.ready(one), self.started(one)
        if since is None:
            since = self.received(one)
        until = self.ended(one) if started is None else started
        return since is not None and since <= second < until and not self.due(one, second)

    def seconds(self, state: Callable[[Attempt, int], bool], attempts: Sequence[Attempt]) -> list[int]:
        return sorted(sum(state(one, second) for second in SECONDS) for one in attempts)


def summary(seconds: Sequence[float]) -> metrics.Distribution:
    """The distribution, with percentiles by counting values as nearest rank defines it."""
    if not seconds:
        return metrics.Distribution(count=0, mean=0, p50=0, p95=0, p99=0, max=0)

    def percentile(percent: int) -> float:
        return min(
            value for value in seconds if sum(other <= value for other in seconds) * 100 >= percent * len(seconds)
        )

    return metrics.Distribution(
        count=len(seconds),
        mean=pytest.approx(sum(seconds) / len(seconds)),
        p50=percentile(50),
        p95=percentile(95),
        p99=percentile(99),
        max=max(seconds),
    )
