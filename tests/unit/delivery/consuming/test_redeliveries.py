"""The history of a message, and what is done with the message next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj.broker.version import BrokerVersion
from proj.delivery.consuming.redeliveries import (
    Decision,
    decide,
    failed_deliveries,
    history,
    last_death,
    lost_workers_of_copy,
)
from proj.queues import home_queue, quarantine_queue
from tests.hostility import VALUES

OLDEST, MIDDLE, NEWEST = BrokerVersion(3, 10), BrokerVersion(4, 0), BrokerVersion(4, 3)
#: What RabbitMQ writes when a message is rejected into a queue where it expires.
REJECTED = [{"queue": "retry", "reason": "expired", "count": 2, "time": 5}, {"queue": "work", "reason": "rejected"}]
DELAYED = [{"queue": "celery_delayed_3", "reason": "expired", "count": 1, "time": 5}]


@pytest.mark.parametrize(
    ("headers", "redelivered", "alone", "expected"),
    [
        ({}, False, False, Decision.RUN),
        # A quorum queue counts deliveries: one lost worker may be an accident, two may not.
        ({"x-delivery-count": 1}, True, False, Decision.RUN),
        ({"x-delivery-count": 2}, True, False, Decision.QUARANTINE),
        # RabbitMQ 4.3 counts failed deliveries apart from those that were handed back by basic.nack.
        ({"x-acquired-count": 100}, True, False, Decision.RUN),
        ({"x-acquired-count": 2, "x-delivery-count": 0}, True, False, Decision.RUN),
        ({"x-acquired-count": 5, "x-delivery-count": 2}, True, False, Decision.QUARANTINE),
        ({"x-acquired-count": 9, "x-delivery-count": 2, "x-proj-redeliveries": 2}, True, True, Decision.RUN),
        ({"x-acquired-count": 9, "x-delivery-count": 3, "x-proj-redeliveries": 2}, True, True, Decision.DEAD_LETTER),
        # A classic queue only marks a message as redelivered, so the worker writes its own count.
        ({}, True, False, Decision.REQUEUE),
        ({"x-proj-redeliveries": 1}, False, False, Decision.RUN),
        ({"x-proj-redeliveries": 1}, True, False, Decision.QUARANTINE),
        # While it runs alone, only workers that were lost then count.
        ({"x-proj-redeliveries": 2}, False, True, Decision.RUN),
        ({"x-proj-redeliveries": 2, "x-delivery-count": 2}, True, True, Decision.RUN),
        ({"x-proj-redeliveries": 2, "x-delivery-count": 3}, True, True, Decision.DEAD_LETTER),
        # Any client can set a count, so it is ignored without a redelivery.
        ({"x-delivery-count": 99}, False, False, Decision.RUN),
        ({"x-delivery-count": 99}, False, True, Decision.RUN),
        ({"x-proj-redeliveries": "many"}, True, False, Decision.REQUEUE),
    ],
)
def test_decision_follows_from_the_history(
    headers: dict[str, Any],
    *,
    redelivered: bool,
    alone: bool,
    expected: Decision,
) -> None:
    """Two lost workers quarantine a message; three that were lost while it ran alone dead-letter it."""
    assert decide(history(headers, redelivered=redelivered, version=NEWEST), alone=alone, limit=3) is expected


@pytest.mark.parametrize(
    ("headers", "redelivered", "expected"),
    [
        ({}, False, Decision.RUN),
        ({}, True, Decision.REQUEUE),
        ({"x-proj-redeliveries": 1}, True, Decision.REQUEUE),
        ({"x-proj-redeliveries": 2}, False, Decision.RUN),
        ({"x-proj-redeliveries": 2}, True, Decision.DEAD_LETTER),
    ],
)
def test_message_in_a_workers_own_queue_is_never_quarantined(
    headers: dict[str, Any], *, redelivered: bool, expected: Decision
) -> None:
    """No other worker may run it, so it gets its attempts there, and is dead-lettered after the last."""
    assert decide(history(headers, redelivered=redelivered, version=NEWEST), alone=False, limit=3, own=True) is expected


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ({"x-delivery-count": 3, "x-death": REJECTED}, OLDEST, Decision.QUARANTINE),
        ({"x-delivery-count": 3, "x-death": REJECTED}, MIDDLE, Decision.RECOUNT),
        ({"x-delivery-count": 3, "x-acquired-count": 3, "x-death": REJECTED}, NEWEST, Decision.RECOUNT),
        ({"x-acquired-count": 3, "x-death": REJECTED}, NEWEST, Decision.RUN),
        # A classic queue of 4.3 marks what failed in the earlier queue as redelivered.
        ({"x-death": REJECTED}, NEWEST, Decision.RECOUNT),
        # The copy has the same `x-death` and a count of its own.
        (
            {"x-delivery-count": 2, "x-death": REJECTED, "x-proj-last-death": last_death({"x-death": REJECTED})},
            MIDDLE,
            Decision.QUARANTINE,
        ),
        ({"x-delivery-count": 2, "x-death": REJECTED, "x-proj-last-death": "work 1"}, MIDDLE, Decision.RECOUNT),
        # Nobody consumes from the queues of a delay.
        ({"x-delivery-count": 2, "x-death": DELAYED}, MIDDLE, Decision.QUARANTINE),
    ],
)
def test_count_that_may_be_of_an_earlier_queue_makes_no_suspect(
    headers: dict[str, Any], version: BrokerVersion, expected: Decision
) -> None:
    """Since 4.0 a message keeps its count through a dead-letter exchange, so it gets a new count first."""
    told = history(headers, redelivered=True, version=version)

    assert decide(told, alone=False, limit=3) is expected
    assert told.lost_workers_here == (0 if expected in {Decision.RECOUNT, Decision.RUN} else told.lost_workers)


def test_queue_has_no_more_failed_deliveries_than_deliveries() -> None:
    """RabbitMQ 4.3 adds those of an earlier queue to its delivery count, and not to its count of deliveries."""
    assert failed_deliveries({"x-delivery-count": 5, "x-acquired-count": 1}, redelivered=True) == 1


@given(
    headers=st.dictionaries(
        st.sampled_from(["x-delivery-count", "x-proj-strikes", "x-proj-requeues", "x-proj-redeliveries", "x-death"]),
        VALUES,
    ),
    redelivered=st.booleans(),
)
def test_history_is_read_whatever_the_headers_hold(headers: dict[str, Any], *, redelivered: bool) -> None:
    """A value that is no count is read as 0."""
    told = history(headers, redelivered=redelivered, version=NEWEST)

    assert told.attempts >= 1
    assert decide(told, alone=False, limit=3) in Decision


def test_redelivery_after_a_lost_connection_is_no_lost_worker() -> None:
    """The worker that lost its connection is alive, so no message killed it."""
    told = history({"x-delivery-count": 2}, redelivered=True, version=NEWEST, survived=1)

    assert told.lost_workers_here == 1
    assert decide(told, alone=False, limit=3) is Decision.RUN
    assert history({}, redelivered=True, version=NEWEST, survived=5).lost_workers_here == 0


@pytest.mark.parametrize(
    ("version", "count", "survived", "lost"),
    [
        (OLDEST, 0, 0, None),
        (OLDEST, 1, 0, 0),
        # This worker gave it back before. For another one, a second return by basic.nack would be a second lost worker.
        (OLDEST, 1, 1, 0),
        (NEWEST, 1, 1, None),
    ],
)
def test_message_that_was_returned_before_is_given_back_as_a_copy(
    version: BrokerVersion, count: int, survived: int, lost: int | None
) -> None:
    """Only where RabbitMQ counts `basic.nack`."""
    told = history({"x-delivery-count": count}, redelivered=count > 0, version=version, survived=survived)

    assert lost_workers_of_copy(told, quorum=True, version=version) == lost


@pytest.mark.parametrize("alone", [False, True])
def test_count_begins_anew_before_innocent_returns_reach_a_delivery_limit(*, alone: bool) -> None:
    """RabbitMQ counts a lost connection, and drops a message after 20 unless a policy says otherwise."""
    told = [
        decide(
            history({"x-delivery-count": count}, redelivered=True, version=NEWEST, survived=count),
            alone=alone,
            limit=3,
        )
        for count in (1, 10, 20)
    ]

    assert told == [Decision.RUN, Decision.RECOUNT, Decision.RECOUNT]


def test_attempts_are_the_sum_of_all_counts_and_this_one() -> None:
    """Killed processes, requeues, lost workers, and this attempt; the broker knows only of some."""
    headers = {"x-proj-strikes": 1, "x-proj-requeues": 2, "x-proj-redeliveries": 3, "x-delivery-count": 4}

    told = history(headers, redelivered=True, version=NEWEST)

    assert told.attempts == 1 + 1 + 2 + 3 + 4
    assert told.before_this_copy == 1 + 2 + 3


def test_quarantine_queue_and_its_home_queue_lead_to_each_other() -> None:
    """The work queue of a message is known from both."""
    assert home_queue(quarantine_queue("task_queue")) == "task_queue"
    assert quarantine_queue(quarantine_queue("task_queue")) == quarantine_queue("task_queue")
