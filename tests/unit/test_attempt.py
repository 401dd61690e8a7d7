"""Attempts, put together from events."""

from __future__ import annotations

from typing import Any

from proj.journal.attempt import Attempt, Attempts


def told(*events: dict[str, Any]) -> list[Attempt]:
    attempts = Attempts()
    for event in events:
        attempts.take(event)
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
    """The attempt that a dead worker left stays as it was."""
    first, second = told(
        event("sent", 1.0, worker="producer", queue="q"),
        event("received", 2.0, worker="w1"),
        event("started", 2.1, worker="w1"),
        event("received", 5.0, worker="w2"),
        event("started", 5.1, worker="w2"),
        event("succeeded", 6.1, worker="w2", runtime=1.0),
    )

    assert (first.worker, first.state, first.started, first.finished) == ("w1", "started", 2.1, None)
    assert (second.worker, second.state, second.sent, second.started) == ("w2", "succeeded", 1.0, 5.1)


def test_events_of_workers_and_forged_ones_are_passed_over() -> None:
    """Whoever can publish may send anything; it must not end the listener."""
    assert (
        told(
            {"type": "worker-heartbeat", "timestamp": 1.0, "hostname": "w1"},
            {"type": "task-started", "uuid": ["t"], "timestamp": 1.0},
            {"type": "task-started", "uuid": "t", "timestamp": "now"},
            {},
        )
        == []
    )
