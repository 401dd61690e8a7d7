"""The figures beside a slow, obvious reference: whole seconds, each looked at by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proj import metrics
from proj.journal.attempt import Attempt
from proj.journal.worker import Worker

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
    """The same attempt with its times in the order in which they happen, for half of all examples to be sane."""
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
    """Some attempts, most not as any worker would tell them, numbered within their tasks."""
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
    """Each figure straight from its definition, by looking at every second of everything."""

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

    def there(self, name: str, second: int) -> bool:
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
        return self.there(name, second) and self.running(name, second) < self.slots(name)

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
    """The definition of nearest rank, counted out."""
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


@several
@given(records())
def test_avoidable_wait_is_what_looking_at_every_second_finds(record: tuple[list[Attempt], list[Worker]]) -> None:
    """The sweep finds the seconds held while another worker had a free slot, whatever the record says."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    assert metrics.avoidable_waits(attempts, workers) == [reference.avoidable(one) for one in attempts]


@several
@given(records())
def test_figures_of_workers_are_what_looking_at_every_second_finds(
    record: tuple[list[Attempt], list[Worker]],
) -> None:
    """Who took part, with how many slots, busy for how long, and idle while there was work for it."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    found = metrics.figures(attempts, workers).workers

    assert [
        (name, reference.slots(name), reference.idle_while_backlog(name), busy(reference, name))
        for name in sorted(reference.workers)
    ] == [(one.name, one.slots, one.idle_while_backlog_s, one.busy_s) for one in found]


def busy(reference: Reference, name: str) -> int:
    return sum(reference.running(name, second) for second in SECONDS)


@several
@given(records())
def test_waits_are_what_looking_at_every_second_finds(record: tuple[list[Attempt], list[Worker]]) -> None:
    """In the broker and held, each second once, with percentiles that were measured."""
    attempts, workers = record
    reference = Reference(attempts, workers)
    had = [one for one in attempts if reference.received(one) is not None]
    sent = [one for one in attempts if one.sent is not None]
    delayed = [one for one in attempts if one.eta is not None]

    found = metrics.figures(attempts, workers)

    assert found.broker_wait == summary(reference.seconds(reference.waits_in_broker, sent))
    assert found.held_wait == summary(reference.seconds(reference.held, had))
    assert found.eta_wait == summary(reference.seconds(reference.waits_for_eta, delayed))
    assert found.avoidable_wait == summary([reference.avoidable(one) for one in had])


@several
@given(records())
def test_figures_are_consistent_with_each_other(record: tuple[list[Attempt], list[Worker]]) -> None:
    """What must hold between them holds for every record, however odd."""
    attempts, workers = record

    found = metrics.figures(attempts, workers, offenders=3)

    assert 0 <= found.avoidable_wait_total_s <= found.held_wait_total_s
    assert sum(offender.avoidable_wait_s for offender in found.offenders) <= found.avoidable_wait_total_s
    assert len(found.offenders) <= 3
    assert found.succeeded + found.failed <= found.tasks <= found.attempts == len(attempts)
    overlapping = lanes_that_overlap(attempts, workers)
    assert all(0 <= one.utilisation <= 1 for one in found.workers if one.name not in overlapping)
    slots = max(1, sum(one.slots for one in found.workers))
    assert 1 / slots <= found.jain_busy <= 1 + 1e-9
    assert 1 / slots <= found.jain_counts <= 1 + 1e-9
    assert min(found.makespan_s, found.ideal_s, found.ratio, found.throughput_per_s) >= 0


@several
@given(records())
def test_figures_do_not_depend_on_the_order_of_attempts(record: tuple[list[Attempt], list[Worker]]) -> None:
    """A journal may hand them over in any."""
    attempts, workers = record

    found = metrics.figures(attempts, workers, offenders=0)

    assert metrics.figures(attempts[::-1], workers[::-1], offenders=0) == found


@several
@given(records())
def test_lanes_have_every_attempt_of_every_worker_once(record: tuple[list[Attempt], list[Worker]]) -> None:
    """A lane a slot, from 0, and nothing lost or drawn twice."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    found = metrics.lanes(attempts, workers)

    assert [(lane.worker, lane.slot) for lane in found] == [
        (name, slot) for name in sorted(reference.workers) for slot in range(reference.slots(name))
    ]
    for name in reference.workers:
        drawn = [one for lane in found if lane.worker == name for one in lane.attempts]
        assert sorted(drawn, key=repr) == sorted(reference.had[name], key=repr)


@several
@given(records())
def test_lanes_overlap_only_where_more_ran_than_there_are_slots(
    record: tuple[list[Attempt], list[Worker]],
) -> None:
    """As many lanes as run at once are enough, if each attempt takes one that is free."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    too_many = {
        name
        for name in reference.workers
        if any(reference.running(name, second) > reference.slots(name) for second in SECONDS)
    }

    assert lanes_that_overlap(attempts, workers) == too_many


def lanes_that_overlap(attempts: Sequence[Attempt], workers: Sequence[Worker]) -> set[str]:
    """The workers with a lane in which two attempts run at the same second."""
    reference = Reference(attempts, workers)
    return {
        lane.worker
        for lane in metrics.lanes(attempts, workers)
        if any(sum(reference.runs(one, second) for one in lane.attempts) > 1 for second in SECONDS)
    }


@several
@given(records(), st.integers(0, 30).map(float))
def test_parts_of_a_record_are_the_whole_split(record: tuple[list[Attempt], list[Worker]], now: float) -> None:
    """Every wait is in one part and as long as in the whole, whoever the other attempts belong to."""
    attempts, workers = record
    whole = metrics.Record.of(attempts, workers, until=now)
    names = list(whole.floor.places)
    mine, others = set(names[::2]), set(names[1::2])
    places = [place for place, one in enumerate(attempts) if one.worker in mine]
    rest = [place for place, one in enumerate(attempts) if one.worker not in mine]

    parts = [whole.part(places, mine), whole.part(rest, others)]
    figures = [metrics.figures_of(part) for part in parts]

    everything = metrics.figures_of(whole)
    assert sum(one.avoidable_wait_total_s for one in figures) == pytest.approx(everything.avoidable_wait_total_s)
    assert [one.name for part in figures for one in part.workers if one.name in mine] == names[::2]
    assert {one.name: (one.busy_s, one.utilisation, one.tasks) for part in figures for one in part.workers} == {
        one.name: (one.busy_s, one.utilisation, one.tasks) for one in everything.workers
    }


@several
@given(records(), st.integers(20, 30).map(float))
def test_time_changes_only_what_is_open(record: tuple[list[Attempt], list[Worker]], now: float) -> None:
    """When everything has ended, the figures stand still."""
    attempts, workers = record
    ended = [one for one in attempts if one.state not in {"sent", "received", "started"}]

    assert metrics.figures(ended, workers, until=now) == metrics.figures(ended, workers)
    assert metrics.figures(attempts, workers, until=now).makespan_s >= metrics.figures(attempts, workers).makespan_s
