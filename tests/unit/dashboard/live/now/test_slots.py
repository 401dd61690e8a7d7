"""Busy slots and avoidable waits between two times."""

from __future__ import annotations

from typing import Any

import pytest

from proj.dashboard.live.now.slots import Place, add_slots
from proj.dashboard.live.now.tally import QueueKey, Tally
from proj.journal.attempt import Attempt

PLACES = {
    name: Place(name=name, slots=1, queues=frozenset(queues))
    for name, queues in (("w1", {"mail", "media"}), ("w2", {"mail"}), ("w3", {"media"}))
}


def had(
    worker: str, received: float, started: float | None = None, finished: float | None = None, **more: Any
) -> Attempt:
    state = "received" if started is None else "started" if finished is None else "succeeded"
    return Attempt(**{"task_id": f"{worker}{received}", "state": state, "queue": "mail", "worker": worker,
                      "received": received, "started": started, "finished": finished, **more})  # fmt: skip


def tallied(*attempts: Attempt, places: dict[str, Place] = PLACES, **more: Any) -> Tally:
    tally = Tally(100.0, 110.0)
    add_slots(tally, attempts, places, **more)
    return tally


def test_busy_seconds_are_those_between_the_two_times() -> None:
    """Of what has not ended, up to the end; never more than the slots have."""
    tally = tallied(had("w1", 90, 95, 104), had("w2", 99, 106), had("w3", 80, 81), had("w3", 80, 82))

    assert {name: worker.busy_s for name, worker in tally.workers.items()} == {"w1": 4.0, "w2": 4.0, "w3": 10.0}
    assert {worker.slot_s for worker in tally.workers.values()} == {10.0}


BUSY = had("w1", 90, 91)
HELD = had("w1", 102)


@pytest.mark.parametrize(
    ("attempts", "more", "seconds"),
    [
        ((BUSY, HELD), {}, 8.0),
        # The other worker was busy, or had a backlog of its own, or consumes another queue, or is not there.
        ((BUSY, HELD, had("w2", 90, 90, 106)), {}, 4.0),
        ((BUSY, HELD, had("w2", 106)), {}, 4.0),
        ((BUSY, had("w1", 102, queue="media"), had("w3", 90, 90)), {}, 0.0),
        ((BUSY, HELD), {"places": {"w1": PLACES["w1"], "w3": PLACES["w3"]}}, 0.0),
        # It is not due, or was held for less than events need, or the broker gives nothing to anybody.
        ((BUSY, had("w1", 102, eta=109.0)), {}, 1.0),
        ((BUSY, had("w1", 102, 102.05, 103)), {}, 0.0),
        ((BUSY, HELD), {"without": {"mail"}}, 0.0),
        # Its clock is ahead.
        ((BUSY, HELD), {"places": {**PLACES, "w1": Place(name="w1", slots=1, queues=frozenset({"mail"}), ahead_s=3)}},
         10.0),
        # Its queue is not known: only a worker of all its worker's queues surely could have had it.
        ((BUSY, had("w1", 102, queue=None)), {}, 0.0),
    ],
)  # fmt: skip
def test_wait_is_avoidable_while_another_worker_of_the_queue_is_idle(
    attempts: tuple[Attempt, ...], more: dict[str, Any], seconds: float
) -> None:
    """It counts for the worker that holds the task."""
    tally = tallied(*attempts, **more)

    assert sum(queue.avoidable_s for queue in tally.queues.values()) == pytest.approx(seconds)
    if seconds:
        assert set(tally.queues[QueueKey("mail")].held_by) == {"w1"}
        assert set(tally.queues[QueueKey("mail")].idle) <= {"w2", "w1"}
