"""What a message has been through, and what is done with it next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj.delivery.consuming.redeliveries import Course, course, past
from proj.queues import home_queue, quarantine_queue
from tests.hostility import VALUES


@pytest.mark.parametrize(
    ("headers", "redelivered", "alone", "expected"),
    [
        ({}, False, False, Course.RUN),
        # A quorum queue counts: once is anybody's accident, twice is a suspicion.
        ({"x-delivery-count": 1}, True, False, Course.RUN),
        ({"x-delivery-count": 2}, True, False, Course.SUSPECT),
        # Newer brokers count what was merely given out apart.
        ({"x-acquired-count": 2, "x-delivery-count": 0}, True, False, Course.SUSPECT),
        # A classic one says no more than "again", so we write it down.
        ({}, True, False, Course.LATER),
        ({"x-proj-redeliveries": 1}, False, False, Course.RUN),
        ({"x-proj-redeliveries": 1}, True, False, Course.SUSPECT),
        # Alone, only what happened there counts.
        ({"x-proj-redeliveries": 2}, False, True, Course.RUN),
        ({"x-proj-redeliveries": 2, "x-delivery-count": 2}, True, True, Course.RUN),
        ({"x-proj-redeliveries": 2, "x-delivery-count": 3}, True, True, Course.BURY),
        # A stranger's count proves nothing.
        ({"x-delivery-count": 99}, False, False, Course.RUN),
        ({"x-delivery-count": 99}, False, True, Course.RUN),
        ({"x-proj-redeliveries": "many"}, True, False, Course.LATER),
    ],
)
def test_course_of_a_message_follows_from_its_past(
    headers: dict[str, Any],
    *,
    redelivered: bool,
    alone: bool,
    expected: Course,
) -> None:
    """A message is suspected when two workers vanished with it, and guilty when three did while it ran alone."""
    assert course(past(headers, redelivered=redelivered), alone=alone, limit=3) is expected


@pytest.mark.parametrize(
    ("headers", "redelivered", "expected"),
    [
        ({}, False, Course.RUN),
        ({}, True, Course.LATER),
        ({"x-proj-redeliveries": 1}, True, Course.LATER),
        ({"x-proj-redeliveries": 2}, False, Course.RUN),
        ({"x-proj-redeliveries": 2}, True, Course.BURY),
    ],
)
def test_message_in_a_workers_own_queue_is_never_set_aside(
    headers: dict[str, Any], *, redelivered: bool, expected: Course
) -> None:
    """No other worker may run it, so it has its tries where it is, and is kept after the last."""
    assert course(past(headers, redelivered=redelivered), alone=False, limit=3, own=True) is expected


@given(
    headers=st.dictionaries(
        st.sampled_from(["x-delivery-count", "x-proj-strikes", "x-proj-requeues", "x-proj-redeliveries"]), VALUES
    ),
    redelivered=st.booleans(),
)
def test_past_is_told_whatever_the_headers_hold(headers: dict[str, Any], *, redelivered: bool) -> None:
    """A hostile count is none."""
    told = past(headers, redelivered=redelivered)

    assert told.attempts >= 1 + int(redelivered)
    assert course(told, alone=False, limit=3) in Course


def test_redelivery_after_a_lost_connection_is_not_held_against_a_message() -> None:
    """The worker that lost its connection lives, so nothing killed it."""
    told = past({"x-delivery-count": 3}, redelivered=True, survived=2)

    assert told.vanished_here == 1
    assert course(told, alone=False, limit=3) is Course.RUN
    assert past({}, redelivered=True, survived=5).vanished_here == 0


def test_attempts_are_all_the_times_that_it_was_tried() -> None:
    """Strikes, requeues, vanished workers, and this time."""
    headers = {"x-proj-strikes": 1, "x-proj-requeues": 2, "x-proj-redeliveries": 3, "x-delivery-count": 4}

    assert past(headers, redelivered=True).attempts == 1 + 1 + 2 + 3 + 4


def test_queue_of_the_suspects_and_its_home_are_each_others() -> None:
    """Wherever a message is, it is known where it belongs."""
    assert home_queue(quarantine_queue("task_queue")) == "task_queue"
    assert quarantine_queue(quarantine_queue("task_queue")) == quarantine_queue("task_queue")
