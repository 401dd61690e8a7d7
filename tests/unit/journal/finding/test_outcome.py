"""Outcome: each delivery of a task says how it ended, and why the task came back."""

from __future__ import annotations

from proj.journal.attempt import Attempt
from proj.journal.finding.outcome import outcomes


def attempt(number: int, state: str, worker: str | None = "w1", **times: float) -> Attempt:
    return Attempt(task_id="t", number=number, state=state, worker=worker, **times)


def test_task_that_was_lost_returned_and_retried_says_why_each_time() -> None:
    """With the worker that had it, the worker that got it next, and how long it was there."""
    told = outcomes(
        [
            attempt(0, "lost", received=1.0, started=2.0),
            attempt(1, "returned", "w2", received=5.0),
            attempt(2, "rejected", "w3", received=6.5),
            attempt(3, "retried", "w1", received=7.0, started=7.0, finished=9.0),
            attempt(4, "succeeded", "w2", started=10.0, finished=10.5, runtime_s=0.25),
        ]
    )

    assert told == [
        "started and not ended, then delivered again to w2: w1, its pool process or its connection was lost",
        "held for 1.50 s and not started, then delivered again to w3: w2 gave it back, or its connection was lost",
        "given back to its queue, then delivered again to w1",
        "asked for a retry after 2.00 s, then delivered again to w2",
        "succeeded after 0.25 s",
    ]


def test_task_that_has_not_ended_says_where_it_was_last() -> None:
    """What is not known is not claimed."""
    assert [outcomes([attempt(0, state)])[0] for state in ("received", "started", "rejected", "expired")] == [
        "received by w1; no start is known",
        "started by w1; no end is known",
        "given back, or dead-lettered",
        "expired before it was started",
    ]
    assert outcomes([attempt(0, "sent", None)]) == ["sent; no worker is known to have received it"]
