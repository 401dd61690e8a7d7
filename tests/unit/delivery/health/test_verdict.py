"""The verdict on a worker: what is known to be right or wrong, and what is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proj.delivery.health.verdict import Consumers, Finding, Health, Reading, alive, consuming, progressing, read_worker

WELL = Reading(queues=frozenset({"q"}), started=5, running={}, held=0, uptime_s=100.0)
BROKER = Consumers(of_worker=frozenset({"q"}), now={"q": 2}, listed={"q": 2}, claimed={"q": 2})


def progress(first: Reading | None, second: Reading | None, *, backlog: int | None, stuck: float | None = None) -> str:
    return progressing(first, second, backlog=backlog, now=100.0, stuck_after_s=stuck).answer


def test_worker_that_does_not_answer_is_not_alive_and_the_rest_is_unknown() -> None:
    """The reason says whether the broker still has its connection."""
    known = alive(None, is_known=True, timeout_s=1)
    unknown = alive(None, is_known=False, timeout_s=1)

    assert (known.answer, unknown.answer) == ("no", "no")
    assert "gave no answer" in known.why
    assert "knows no such worker" in unknown.why
    assert progress(None, None, backlog=3) == "unknown"


@pytest.mark.parametrize(
    ("consumers", "answer"),
    [
        (BROKER, "yes"),
        (replace(BROKER, of_worker=frozenset()), "no"),
        (replace(BROKER, of_worker=frozenset({"q"}), now={"q": 0}), "no"),
        # The list is older than the count.
        (replace(BROKER, of_worker=frozenset(), listed={"q": 1}), "unknown"),
        # Without the management API.
        (replace(BROKER, of_worker=None), "yes"),
        (replace(BROKER, of_worker=None, now={"q": 0}), "no"),
        (replace(BROKER, of_worker=None, now={"q": 1}), "unknown"),
        (replace(BROKER, of_worker=None, now={"q": 3}), "unknown"),
    ],
)
def test_consuming_is_what_the_broker_says(consumers: Consumers, answer: str) -> None:
    """It is unknown where the broker does not say whose consumers it has."""
    assert consuming(WELL, consumers).answer == answer


def test_worker_that_consumes_from_no_queue_is_not_consuming() -> None:
    """`celery control cancel_consumer` leaves such a worker; one that paused for a quarantined task still counts."""
    assert consuming(replace(WELL, queues=frozenset()), BROKER).answer == "no"
    assert consuming(replace(WELL, paused=True), replace(BROKER, of_worker=frozenset())).answer == "yes"


def test_paused_queues_are_named_and_make_no_worker_unhealthy() -> None:
    """A probe would restart a worker for what a person wants."""
    all_paused = consuming(replace(WELL, queues=frozenset(), paused_queues=frozenset({"q", "p"})), BROKER)
    one_paused = consuming(replace(WELL, paused_queues=frozenset({"p"})), BROKER)

    assert all_paused == Finding(answer="yes", why="all its queues are paused: p, q")
    assert one_paused == Finding(answer="yes", why="the broker has its consumers for q; paused: p")


@pytest.mark.parametrize(("running", "answer"), [({"a": 40.0}, "yes"), ({}, "unknown")])
@pytest.mark.parametrize(
    "consumers", [replace(BROKER, of_worker=frozenset()), replace(BROKER, of_worker=frozenset({"q"}), now={"q": 0})]
)
def test_busy_worker_in_adaptive_dispatch_need_not_consume(
    consumers: Consumers, running: dict[str, float | None], answer: str
) -> None:
    """It cancels the consumers of its queues while no slot is free."""
    stats = {"dispatch": {"mode": "adaptive"}}

    assert read_worker(stats, [], [], [{"name": "q"}]).adaptive
    assert consuming(replace(WELL, running=running, adaptive=True), consumers).answer == answer


def test_worker_that_has_just_started_may_be_missing_in_the_list() -> None:
    """The broker's list of consumers is some seconds old."""
    assert consuming(replace(WELL, uptime_s=2.0), replace(BROKER, of_worker=frozenset())).answer == "unknown"


def test_worker_that_finished_a_task_is_progressing() -> None:
    """It does not matter how many messages wait."""
    assert progress(WELL, replace(WELL, started=6), backlog=100) == "yes"


def test_worker_that_runs_nothing_while_messages_wait_is_not_progressing() -> None:
    """With no message waiting it is; with an unknown number it is unknown."""
    assert progress(WELL, WELL, backlog=3) == "no"
    assert progress(WELL, WELL, backlog=0) == "yes"
    assert progress(WELL, WELL, backlog=None) == "unknown"


def test_busy_worker_is_unknown_unless_the_user_says_how_long_is_too_long() -> None:
    """A long task looks like one that hangs."""
    busy = replace(WELL, running={"a": 40.0})

    assert progress(busy, busy, backlog=9) == "unknown"
    assert progress(busy, busy, backlog=9, stuck=59) == "no"
    assert progress(busy, busy, backlog=9, stuck=61) == "unknown"


def test_worker_that_holds_messages_and_runs_none_is_unknown() -> None:
    """A rate limit or an eta does that, and so does a pool that hangs."""
    assert progress(replace(WELL, held=2), replace(WELL, held=2), backlog=9) == "unknown"


def test_unknown_answers_do_not_make_a_worker_unhealthy() -> None:
    """A probe must not restart a worker for what is unknown."""
    yes, no, unknown = (Finding(answer=answer, why="") for answer in ("yes", "no", "unknown"))

    assert Health(worker="w", alive=yes, consuming=unknown, progressing=unknown).is_well
    assert not Health(worker="w", alive=yes, consuming=no, progressing=unknown).is_well


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [1], {"total": 7, "pool": []}, {"total": {"a": "b"}}])
def test_replies_of_another_shape_are_read_as_far_as_possible(odd: Any) -> None:
    """Anyone who can publish can reply in a worker's name."""
    read = read_worker(odd, odd, odd, odd if isinstance(odd, list) else None)

    assert (read.started, read.queues) == (0, frozenset())


def test_reading_leaves_the_queue_for_broadcasts_out() -> None:
    """The broker's list has none of the queues that workers make for themselves, so it would count as missing."""
    queues = [{"name": "broadcast.w1@host"}, {"name": "task_queue"}]

    assert read_worker({}, [], [], queues).queues == {"task_queue"}
