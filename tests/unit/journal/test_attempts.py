"""Attempts, made from the events of tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proj.journal.attempt import Attempt
from proj.journal.attempts import Attempts, extends, rebuilt_attempts, updated_attempts
from proj.journal.event import TaskEvent, parsed


def attempts_of(*events: dict[str, Any]) -> list[Attempt]:
    attempts = Attempts()
    for event in events:
        attempts.add(event)
    return list(attempts)


def event(kind: str, timestamp: float, worker: str = "w1", **more: object) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": "t", "timestamp": timestamp, "hostname": worker, **more}


def test_attempt_has_the_times_of_all_its_events() -> None:
    """From the publish by the producer to the end at the worker, with the run time of the pool process."""
    (attempt,) = attempts_of(
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


def test_attempt_is_held_until_its_start_and_running_until_its_end() -> None:
    """The two states exclude each other."""
    (held,) = attempts_of(event("received", 2.0))
    (running,) = attempts_of(event("received", 2.0), event("started", 3.0))

    assert (held.held, held.running) == (True, False)
    assert (running.held, running.running) == (False, True)


def test_late_sent_event_keeps_the_state_of_the_attempt() -> None:
    """It is published after the task itself, so the events of a fast worker can come first."""
    (attempt,) = attempts_of(
        event("received", 2.0), event("started", 2.1), event("sent", 1.9, worker="producer", queue="q")
    )

    assert (attempt.state, attempt.worker, attempt.sent) == ("started", "w1", 1.9)


def test_redelivery_is_another_attempt_and_the_first_one_is_lost() -> None:
    """The attempt of the dead worker keeps its times."""
    first, second = attempts_of(
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
def test_copies_of_one_task_at_several_workers_are_no_redeliveries(exchange: str) -> None:
    """Only a second delivery to the same worker is a redelivery."""
    both = [
        event("sent", 9.0, "sender", queue=exchange),
        event("received", 10.0, "w1"),
        event("started", 10.5, "w1"),
        event("received", 10.1, "w2"),
        event("started", 10.6, "w2"),
    ]

    assert [(one.worker, one.state, one.redelivered) for one in attempts_of(*both)] == [
        ("w1", "started", False),
        ("w2", "started", False),
    ]
    assert [(one.worker, one.state, one.redelivered) for one in attempts_of(*both, event("received", 12.0, "w1"))] == [
        ("w1", "lost", False),
        ("w2", "started", False),
        ("w1", "received", True),
    ]


def test_held_attempt_that_another_worker_receives_is_returned() -> None:
    """It had not started, so no work was lost."""
    first, second = attempts_of(event("received", 2.0, worker="w1"), event("received", 5.0, worker="w2"))

    assert (first.state, second.state) == ("returned", "received")


def test_attempt_that_seemed_lost_and_ends_is_not_lost() -> None:
    """A worker that loses its connection continues, although the broker delivers its task to another worker."""
    first, second = attempts_of(
        event("received", 2.0, worker="w1"),
        event("started", 2.1, worker="w1"),
        event("received", 3.0, worker="w2"),
        event("succeeded", 4.0, worker="w1", runtime=1.9),
    )

    assert (first.state, first.finished, second.state) == ("succeeded", 4.0, "received")


def test_worker_that_receives_its_running_task_again_ends_the_first_attempt_first() -> None:
    """After a lost connection, one worker has two attempts of one task at once."""
    first, second = attempts_of(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 2.0),
        event("succeeded", 3.0, runtime=1.9),
        event("started", 3.1),
        event("succeeded", 5.0, runtime=1.8),
    )

    assert (first.started, first.finished, second.started, second.finished) == (1.1, 3.0, 3.1, 5.0)


def test_end_belongs_to_the_start_that_fits_its_run_time() -> None:
    """A worker that receives its running task again may run both attempts at once, in two slots."""
    first, second = attempts_of(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 2.0),
        event("started", 2.1),
        event("succeeded", 3.0, runtime=1.9),
        event("succeeded", 5.0, runtime=2.9),
    )

    assert (first.finished, second.finished) == (3.0, 5.0)


def test_attempt_of_a_killed_worker_is_lost_although_it_restarts_under_its_name() -> None:
    """Only the run time tells which attempt ended."""
    first, second = attempts_of(
        event("received", 1.0),
        event("started", 1.1),
        event("received", 9.0),
        event("started", 9.1),
        event("succeeded", 10.1, runtime=0.99),
    )

    assert (first.state, first.finished, second.state, second.finished) == ("lost", None, "succeeded", 10.1)


def test_retry_is_another_attempt_with_a_publish_of_its_own() -> None:
    """It is not a redelivery, because the task asked for it."""
    first, second = attempts_of(
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
    """Celery may send a `task-failed` event after `task-revoked`."""
    (attempt,) = attempts_of(event("received", 1.0), event("started", 1.1), event("revoked", 2.0), event("failed", 2.1))

    assert (attempt.state, attempt.finished) == ("revoked", 2.0)


def test_end_event_alone_makes_an_attempt() -> None:
    """The producer may send no events, or the recorder may start late."""
    (attempt,) = attempts_of(event("succeeded", 4.0, runtime=None))

    assert (attempt.state, attempt.worker, attempt.finished, attempt.runtime_s) == ("succeeded", "w1", 4.0, None)


@st.composite
def stories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """All events of one task in their order, with redeliveries and retries on several workers."""
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
def test_attempts_do_not_depend_on_the_order_and_repetition_of_events(data: st.DataObject) -> None:
    """Workers publish over different connections, and RabbitMQ redelivers what was not acknowledged."""
    story = data.draw(stories())
    shuffled = data.draw(st.permutations(story + data.draw(st.lists(st.sampled_from(story)))))

    assert attempts_of(*shuffled) == attempts_of(*story)


@given(st.data())
def test_attempts_do_not_depend_on_batches_and_restarts(data: st.DataObject) -> None:
    """Attempts in the journal hold the same facts as the events that they were made from."""
    story = [known for known in map(parsed, data.draw(stories())) if isinstance(known, TaskEvent)]
    cut = data.draw(st.integers(0, len(story)))

    assert updated_attempts(updated_attempts([], story[:cut]), story[cut:]) == updated_attempts([], story)
    assert updated_attempts(updated_attempts([], story), story) == updated_attempts([], story)


def test_attempts_extend_earlier_ones_unless_an_attempt_must_be_split() -> None:
    """Filled-in fields can be merged; attempts that are split must be replaced."""
    before = attempts_of(event("received", 2.0))

    assert extends(attempts_of(event("received", 2.0), event("started", 2.1)), before)
    assert not extends(attempts_of(event("received", 1.0), event("received", 2.0)), before)


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
def test_forged_event_is_ignored(forged: object) -> None:
    """Everyone who can publish may send any event; it must not end the listener."""
    assert parsed(forged) is None


def test_forged_fields_are_ignored_or_cut() -> None:
    """An event with impossible values counts without them, and its text can be written to a file."""
    (attempt,) = attempts_of(
        event("sent", 1.0, queue={"q": 1}, args="\ud800" + "x" * 9999, retries=-1, eta="tomorrow", name=3),
        event("received", 2.0, retries=True, eta="9999-99-99"),
        event("succeeded", 3.0, runtime="long"),
    )

    assert (attempt.queue, attempt.name, attempt.retries, attempt.eta, attempt.runtime_s) == (None, None, 0, None, None)
    assert attempt.arguments.startswith("?xxx")
    assert len(attempt.arguments) == 2000


@pytest.mark.parametrize(("expired", "state"), [(True, "expired"), (False, "revoked"), ("yes", "revoked")])
def test_task_that_expired_is_not_revoked(expired: object, state: str) -> None:
    """Celery sends `task-revoked` for both, with a field that tells them apart."""
    (attempt,) = attempts_of(event("received", 2.0), event("revoked", 3.0, expired=expired, terminated=False))

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
def test_usual_order_gives_the_same_attempts_as_rebuilding_them(before: list[Any], after: list[Any]) -> None:
    """The short way for tasks that are sent, received, started and ended once changes only the time it takes."""

    def events_of(way: list[Any]) -> list[TaskEvent]:
        return [
            TaskEvent("t", kind, time, by, f"{by}{time}", queue, arguments=by, retries=retries, eta=time or None)
            if kind in {"sent", "received"}
            else TaskEvent("t", kind, time, by, runtime_s=time if kind == "succeeded" else None)
            for kind, time, by, retries in way
            # Not every worker tells the queue.
            for queue in [None if by == "w2" else by]
        ]

    known = rebuilt_attempts([], events_of(before))
    # With the run and the queue that the journal adds.
    kept = [replace(attempt, run="r", queue="placed") for attempt in known]

    assert updated_attempts([], events_of(before)) == known
    assert updated_attempts(kept, events_of(after)) == rebuilt_attempts(kept, events_of(after))
