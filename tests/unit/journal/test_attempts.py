"""Attempts, put together from events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proj.journal.attempt import Attempt
from proj.journal.attempts import Attempts, extends, rebuilt_attempts, updated_attempts
from proj.journal.event import TaskEvent, parsed


def told(*events: dict[str, Any]) -> list[Attempt]:
    attempts = Attempts()
    for event in events:
        attempts.add(event)
    return list(attempts)


def event(kind: str, timestamp: float, worker: str = "w1", **more: object) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": "t", "timestamp": timestamp, "hostname": worker, **more}


def test_attempt_has_the_times_of_its_whole_way() -> None:
    """From the producer's publish to the worker's end, with the pool's own run time."""
    (attempt,) = told(
        event("sent", 1.0, worker="producer", queue="q", args="('hello...',)"),
        event("received", 2.0),
        event("started", 3.0),
        event("succeeded", 6.0, runtime=2.9),
    )

    assert attempt == Attempt(
        task_id="t",
        state="succeeded",
        queue="q",
        worker="w1",
        arguments="('hello...',)",
        sent=1.0,
        received=2.0,
        started=3.0,
        finished=6.0,
        runtime_s=2.9,
    )


def test_attempt_is_held_between_delivery_and_start_and_running_until_its_end() -> None:
    """What a worker has and does not work on is told apart from what it works on."""
    (held,) = told(event("received", 2.0))
    (running,) = told(event("received", 2.0), event("started", 3.0))

    assert (held.held, held.running) == (True, False)
    assert (running.held, running.running) == (False, True)


def test_sent_event_that_comes_late_takes_nothing_back() -> None:
    """It is published after the task itself, so a fast worker is heard of first."""
    (attempt,) = told(event("received", 2.0), event("started", 2.1), event("sent", 1.9, worker="producer", queue="q"))

    assert (attempt.state, attempt.worker, attempt.sent) == ("started", "w1", 1.9)


def test_redelivery_is_another_attempt_and_overwrites_nothing() -> None:
    """The attempt that a dead worker left keeps what is known of it, and is lost."""
    first, second = told(
        event("sent", 1.0, worker="producer", queue="q"),
        event("received", 2.0, worker="w1"),
        event("started", 2.1, worker="w1"),
        event("received", 5.0, worker="w2"),
        event("started", 5.1, worker="w2"),
        event("succeeded", 6.1, worker="w2", runtime=1.0),
    )

    assert (first.worker, first.state, first.started, first.finished) == ("w1", "lost", 2.1, None)
    assert (second.worker, second.state, second.sent, second.started) == ("w2", "succeeded", 1.0, 5.1)
    assert [(attempt.number, attempt.redelivered) for attempt in (first, second)] == [(0, False), (1, True)]


@pytest.mark.parametrize("exchange", ["broadcast", "topic"])
def test_copies_of_one_task_at_several_workers_supersede_nothing(exchange: str) -> None:
    """Each worker has its own, which is a redelivery only when that worker had it before."""
    both = [
        event("sent", 9.0, "sender", queue=exchange),
        event("received", 10.0, "w1"),
        event("started", 10.5, "w1"),
        event("received", 10.1, "w2"),
        event("started", 10.6, "w2"),
    ]

    assert [(one.worker, one.state, one.redelivered) for one in told(*both)] == [
        ("w1", "started", False),
        ("w2", "started", False),
    ]
    assert [(one.worker, one.state, one.redelivered) for one in told(*both, event("received", 12.0, "w1"))] == [
        ("w1", "lost", False),
        ("w2", "started", False),
        ("w1", "received", True),
    ]


def test_attempt_that_was_held_and_given_to_another_is_returned() -> None:
    """Nothing was lost with it, for it was never begun."""
    first, second = told(event("received", 2.0, worker="w1"), event("received", 5.0, worker="w2"))

    assert (first.state, second.state) == ("returned", "received")


def test_attempt_that_seemed_lost_and_ends_was_not() -> None:
    """A worker that loses its connection goes on, though the broker gave its task to another."""
    first, second = told(
        event("received", 2.0, worker="w1"),
        event("started", 2.1, worker="w1"),
        event("received", 3.0, worker="w2"),
        event("succeeded", 4.0, worker="w1", runtime=1.9),
    )

    assert (first.state, first.finished, second.state) == ("succeeded", 4.0, "received")


def test_worker_that_is_given_its_running_task_again_ends_the_first_first() -> None:
    """After a broken connection, one worker has two attempts of one task at once."""
    first, second = told(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 2.0),
        event("succeeded", 3.0, runtime=1.9),
        event("started", 3.1),
        event("succeeded", 5.0, runtime=1.8),
    )

    assert (first.started, first.finished, second.started, second.finished) == (1.1, 3.0, 3.1, 5.0)


def test_end_belongs_to_the_start_that_its_run_time_tells() -> None:
    """A worker that was given its running task again may run both at once, in two slots."""
    first, second = told(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 2.0),
        event("started", 2.1),
        event("succeeded", 3.0, runtime=1.9),
        event("succeeded", 5.0, runtime=2.9),
    )

    assert (first.finished, second.finished) == (3.0, 5.0)


def test_worker_that_is_killed_and_started_again_under_its_name_lost_the_first() -> None:
    """Nothing but the time of the run tells whose end it is."""
    first, second = told(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 9.0),
        event("started", 9.1),
        event("succeeded", 10.1, runtime=0.99),
    )

    assert (first.state, first.finished, second.state, second.finished) == ("lost", None, "succeeded", 10.1)


def test_retry_is_another_attempt_with_a_publish_of_its_own() -> None:
    """It is no redelivery: the task asked for it."""
    first, second = told(
        event("sent", 1.0, worker="producer", queue="q", retries=0),
        event("received", 2.0),
        event("started", 2.1),
        event("sent", 2.5, worker="w1", queue="q", retries=1, eta="1970-01-01T00:00:03+00:00"),
        event("retried", 2.6),
        event("received", 3.0, worker="w2", retries=1),
        event("started", 3.1, worker="w2"),
        event("succeeded", 4.0, worker="w2", runtime=0.9),
    )

    assert (first.state, first.sent, first.retries, first.eta) == ("retried", 1.0, 0, None)
    assert (second.state, second.sent, second.retries, second.eta) == ("succeeded", 2.5, 1, 3.0)
    assert (second.number, second.redelivered) == (1, False)


def test_revocation_of_a_running_task_ends_it_once() -> None:
    """Celery may tell of the failure too."""
    (attempt,) = told(event("received", 1.0), event("started", 1.1), event("revoked", 2.0), event("failed", 2.1))

    assert (attempt.state, attempt.finished) == ("revoked", 2.0)


def test_task_whose_first_events_are_missing_is_still_an_attempt() -> None:
    """Where the producer sends no events, or the recorder came late."""
    (attempt,) = told(event("succeeded", 4.0, runtime=None))

    assert (attempt.state, attempt.worker, attempt.finished, attempt.runtime_s) == ("succeeded", "w1", 4.0, None)


@st.composite
def stories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """All events of one task in their order: redeliveries and retries, on workers that come and go."""
    clock = 1.0
    events = [event("sent", clock, worker="producer", queue="q", args="(1,)", name="n", retries=0)]

    def tell(kind: str, worker: str, **more: object) -> None:
        nonlocal clock
        clock += draw(st.sampled_from([0.25, 1.0, 60.0]))
        events.append(event(kind, clock, worker, **more))

    for retries in range(draw(st.integers(1, 3))):
        if retries:
            tell("sent", "w1", queue="q", args="(1,)", name="n", retries=retries)
        for _ in range(draw(st.integers(0, 2))):
            worker = draw(st.sampled_from(["w1", "w2", "w3"]))
            tell("received", worker, name="n", args="(1,)", retries=retries)
            if draw(st.booleans()):
                tell("started", worker)
        worker = draw(st.sampled_from(["w1", "w2", "w3"]))
        tell("received", worker, name="n", args="(1,)", retries=retries)
        tell("started", worker)
        tell(draw(st.sampled_from(["failed", "succeeded"])) if retries == 2 else "retried", worker)
    return events


@given(st.data())
def test_attempts_are_the_same_in_whatever_order_and_however_often_events_come(data: st.DataObject) -> None:
    """Workers publish over connections of their own, and the broker gives again what was not acknowledged."""
    story = data.draw(stories())
    shuffled = data.draw(st.permutations(story + data.draw(st.lists(st.sampled_from(story)))))

    assert told(*shuffled) == told(*story)


@given(st.data())
def test_attempts_are_the_same_when_events_come_in_batches_over_restarts(data: st.DataObject) -> None:
    """All that is kept between two events is what is written down, and it says what the events said."""
    story = [known for known in map(parsed, data.draw(stories())) if isinstance(known, TaskEvent)]
    cut = data.draw(st.integers(0, len(story)))

    assert updated_attempts(updated_attempts([], story[:cut]), story[cut:]) == updated_attempts([], story)
    assert updated_attempts(updated_attempts([], story), story) == updated_attempts([], story)


def test_later_attempts_extend_earlier_ones_unless_something_was_wrong() -> None:
    """What only fills in can be written over; what tells attempts apart anew cannot."""
    before = told(event("received", 2.0))

    assert extends(told(event("received", 2.0), event("started", 2.1)), before)
    assert not extends(told(event("received", 1.0), event("received", 2.0)), before)


@pytest.mark.parametrize(
    "forged",
    [
        {"type": "task-started", "uuid": ["t"], "timestamp": 1.0},
        {"type": "task-started", "uuid": "t", "timestamp": "now"},
        {"type": "task-started", "uuid": "t", "timestamp": float("nan")},
        {"type": "task-started", "uuid": "t", "timestamp": 10**400},
        {"type": ["task-started"], "uuid": "t", "timestamp": 1.0},
        {"type": "worker-heartbeat", "timestamp": 1.0, "hostname": {}},
        {},
        None,
        "task-started",
        7,
    ],
)
def test_forged_event_says_nothing(forged: object) -> None:
    """Whoever can publish may send anything; it must not end the listener."""
    assert parsed(forged) is None


def test_forged_fields_are_not_taken_over() -> None:
    """A known event with impossible values is what remains without them, in a form that a file can keep."""
    (attempt,) = told(
        event("sent", 1.0, queue={"q": 1}, args="\ud800" + "x" * 9999, retries=-1, eta="tomorrow", name=3),
        event("received", 2.0, retries=True, eta="9999-99-99"),
        event("succeeded", 3.0, runtime="long"),
    )

    assert (attempt.queue, attempt.name, attempt.retries, attempt.eta, attempt.runtime_s) == (None, None, 0, None, None)
    assert attempt.arguments.startswith("?xxx")
    assert len(attempt.arguments) == 2000


@pytest.mark.parametrize(("expired", "state"), [(True, "expired"), (False, "revoked"), ("yes", "revoked")])
def test_task_that_came_too_late_is_expired_and_not_revoked(expired: object, state: str) -> None:
    """Celery tells both by one event; a ledger must tell them apart."""
    (attempt,) = told(event("received", 2.0), event("revoked", 3.0, expired=expired, terminated=False))

    assert (attempt.state, attempt.finished) == (state, 3.0)


ways = st.lists(
    st.tuples(
        st.sampled_from(("sent", "received", "started", "succeeded", "failed", "revoked", "retried")),
        st.integers(0, 3).map(float),
        st.sampled_from(("w1", "w1", "w1", "w2")),
        st.sampled_from((0, 0, 0, 1)),
    ),
    max_size=3,
)
EARLY = [("received", 2.0, "w1", 0)]


@settings(max_examples=300)
@example(EARLY, [("started", 1.0, "w1", 0)])
@example(EARLY, [("started", 2.0, "w2", 0)])
@example([*EARLY, ("started", 2.0, "w1", 0)], [("succeeded", 1.0, "w1", 0)])
@example([("sent", 1.0, "w1", 0)], [("received", 2.0, "w1", 1)])
@example(EARLY, [("received", 2.0, "w1", 0)])
@given(ways, ways)
def test_usual_order_is_told_the_same_in_its_short_way(before: list[Any], after: list[Any]) -> None:
    """Most tasks are sent, received, started and ended once; that way saves nine tenths of the time, and no more."""

    def facts(way: list[Any]) -> list[TaskEvent]:
        return [
            TaskEvent("t", kind, time, by, name=f"{by}{time}", arguments=by, retries=retries, eta=time or None)
            if kind in {"sent", "received"}
            else TaskEvent("t", kind, time, by, runtime_s=time if kind == "succeeded" else None)
            for kind, time, by, retries in way
        ]

    known = rebuilt_attempts([], facts(before))
    # As a journal has them, with the run and the only queue of the worker.
    kept = [replace(attempt, run="r", queue="placed") for attempt in known]

    assert updated_attempts([], facts(before)) == known
    assert updated_attempts(kept, facts(after)) == rebuilt_attempts(kept, facts(after))
