"""The figures, compared with a slow and simple reference on generated records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj import metrics
from tests.unit.metrics.reference import SECONDS, Reference, records, several, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker


@several
@given(records())
def test_avoidable_waits_equal_those_of_the_reference(record: tuple[list[Attempt], list[Worker]]) -> None:
    """The sweep finds the same seconds as looking at each second, for any record."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    assert metrics.avoidable_waits(attempts, workers) == [reference.avoidable(one) for one in attempts]


@several
@given(records())
def test_figures_of_workers_equal_those_of_the_reference(
    record: tuple[list[Attempt], list[Worker]],
) -> None:
    """The workers that took part, their slots, busy seconds, and idle seconds while work waited."""
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
def test_waits_equal_those_of_the_reference(record: tuple[list[Attempt], list[Worker]]) -> None:
    """Waits in the broker and held waits count each second once."""
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
    """Relations between figures hold for every record, also for impossible ones."""
    attempts, workers = record

    found = metrics.figures(attempts, workers, longest=3)

    assert 0 <= found.avoidable_wait_total_s <= found.held_wait_total_s
    assert sum(wait.avoidable_wait_s for wait in found.longest_avoidable_waits) <= found.avoidable_wait_total_s
    assert len(found.longest_avoidable_waits) <= 3
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
    """Attempts may be given in any order."""
    attempts, workers = record

    found = metrics.figures(attempts, workers, longest=0)

    assert metrics.figures(attempts[::-1], workers[::-1], longest=0) == found


@several
@given(records())
def test_lanes_have_every_attempt_of_every_worker_once(record: tuple[list[Attempt], list[Worker]]) -> None:
    """There is one lane for each slot, and each attempt is in exactly one lane."""
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
def test_lanes_overlap_only_if_more_attempts_ran_than_there_are_slots(
    record: tuple[list[Attempt], list[Worker]],
) -> None:
    """If each attempt takes a free lane, as many lanes are enough as attempts run at once."""
    attempts, workers = record
    reference = Reference(attempts, workers)

    too_many = {
        name
        for name in reference.workers
        if any(reference.running(name, second) > reference.slots(name) for second in SECONDS)
    }

    assert lanes_that_overlap(attempts, workers) == too_many


def lanes_that_overlap(attempts: Sequence[Attempt], workers: Sequence[Worker]) -> set[str]:
    """The workers with a lane in which two attempts overlap."""
    reference = Reference(attempts, workers)
    return {
        lane.worker
        for lane in metrics.lanes(attempts, workers)
        if any(sum(reference.runs(one, second) for one in lane.attempts) > 1 for second in SECONDS)
    }


@several
@given(records(), st.integers(0, 30).map(float))
def test_parts_of_a_record_add_up_to_the_whole(record: tuple[list[Attempt], list[Worker]], now: float) -> None:
    """Every wait is in one part, and as long as in the whole record."""
    attempts, workers = record
    whole = metrics.Record.of(attempts, workers, until=now)
    names = list(whole.participants.by_name)
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
def test_time_changes_no_figure_once_all_attempts_have_ended(
    record: tuple[list[Attempt], list[Worker]], now: float
) -> None:
    """`until` is ignored if no attempt is open."""
    attempts, workers = record
    ended = [one for one in attempts if one.state not in {"sent", "received", "started"}]

    assert metrics.figures(ended, workers, until=now) == metrics.figures(ended, workers)
    assert metrics.figures(attempts, workers, until=now).makespan_s >= metrics.figures(attempts, workers).makespan_s
