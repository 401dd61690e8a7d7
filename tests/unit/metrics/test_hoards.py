"""Hoards: workers that had more messages than slots."""

from __future__ import annotations

from typing import Any

import pytest

from proj.journal.attempt import Attempt
from proj.journal.records import Worker
from proj.metrics import Hoard, hoards

QUEUES = ("a", "b", "c")


def worker(**more: Any) -> Worker:
    return Worker(**{"name": "w@h", "slots": 1, "queues": QUEUES, "dispatch": "fair", **more})


def attempt(task_id: str, received: float, started: float | None, finished: float | None, **more: Any) -> Attempt:
    state = "received" if started is None else "started" if finished is None else "succeeded"
    return Attempt(**{"task_id": task_id, "state": state, "queue": task_id[0], "worker": "w@h", "sent": 0.0,
                      "received": received, "started": started, "finished": finished, **more})  # fmt: skip


#: What a worker of one slot gets on RabbitMQ 4: one of each queue at once.
AT_ONCE = [attempt("a", 1, 1, 11), attempt("b", 1, 11, 21), attempt("c", 1, 21, 31)]
#: What it gets from a channel with a prefetch count of 1.
IN_TURN = [attempt("a", 1, 1, 11), attempt("b", 11, 11, 21), attempt("c", 21, 21, 31)]


def test_worker_with_one_message_of_each_queue_hoards() -> None:
    """All but the one that runs."""
    assert hoards(AT_ONCE, [worker()]) == [Hoard(worker="w@h", slots=1, queues=QUEUES, held=2)]


@pytest.mark.parametrize(
    ("attempts", "of"),
    [
        (IN_TURN, worker()),
        (AT_ONCE, worker(slots=3)),
        (AT_ONCE, worker(slots=None)),
        (AT_ONCE, worker(queues=("a",))),
        (AT_ONCE, worker(dispatch="round-robin")),
        (AT_ONCE, worker(dispatch="adaptive")),
        (AT_ONCE, worker(dispatch=None)),
        (AT_ONCE, worker(name="other@h")),
        ([attempt(one.task_id, one.received or 0, one.started, one.finished, queue="broadcast") for one in AT_ONCE],
         worker()),
        ([attempt(one.task_id, one.received or 0, one.started, one.finished, eta=11.0) for one in AT_ONCE], worker()),
        ([attempt("a", 1, 1, 11), attempt("b", 10.5, 11, 21)], worker()),
        ([attempt("a", 1, 1, 11), attempt("b", 1, None, None, state="returned")], worker()),
    ],
    ids=["in turn", "enough slots", "slots not known", "one queue", "holds on purpose", "gives back", "mode not known",
         "of another", "broadcasts", "not due", "for a moment", "given back"],
)  # fmt: skip
def test_other_workers_do_not(attempts: list[Attempt], of: Worker) -> None:
    """Where no other worker could have run them, where it is on purpose, or where it is not known."""
    assert hoards(attempts, [of]) == []


def test_message_that_was_delayed_in_the_broker_counts() -> None:
    """It keeps its ETA, and is received when it is due."""
    due = [attempt(one.task_id, 1, one.started, one.finished, eta=0.5) for one in AT_ONCE]

    assert [hoard.held for hoard in hoards(due, [worker()])] == [2]


def test_open_attempts_count_until_now() -> None:
    """A message that has just been received does not."""
    open_ = [attempt("a", 1, 1, None), attempt("b", 1, None, None), attempt("c", 9.5, None, None)]

    assert [hoard.held for hoard in hoards(open_, [worker()], until=10)] == [1]
    assert [hoard.held for hoard in hoards(open_, [worker()], until=11)] == [2]


def test_sentence_says_who_holds_what_and_what_to_do() -> None:
    """With only some of many queues."""
    few = Hoard(worker="w@h", slots=1, queues=QUEUES, held=1)
    many = Hoard(worker="w@h", slots=2, queues=tuple("abcdefg"), held=12)

    assert few.sentence(now=True) == (
        "Worker w@h (1 slot) holds 1 message for which it has no free slot, because RabbitMQ applies the prefetch "
        "count to each of its queues (a, b, c). Use adaptive dispatch, or start one worker for each queue (-Q NAME), "
        "so that another worker can run them."
    )
    assert "Worker w@h (2 slots) held up to 12 messages for which it had no" in many.sentence(now=False)
    assert "(a, b, c, d, e and 2 more)" in many.sentence(now=False)
