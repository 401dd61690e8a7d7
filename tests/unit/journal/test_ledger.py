"""The ledger."""

from __future__ import annotations

import pytest

from proj.journal.attempt import Attempt
from proj.journal.ledger import Holdings, ledger


def attempt(task_id: str, state: str, number: int = 0) -> Attempt:
    return Attempt(task_id=task_id, state=state, number=number, queue="q", sent=1.0)


NOTHING_HELD = Holdings()


@pytest.mark.parametrize(
    ("state", "fate"),
    [("succeeded", "finished"), ("failed", "failed"), ("revoked", "revoked"), ("expired", "expired")],
)
def test_task_that_ended_has_the_fate_of_its_end(state: str, fate: str) -> None:
    """Whatever the broker holds."""
    assert ledger([attempt("a", state)], NOTHING_HELD).fates == {"a": fate}


@pytest.mark.parametrize("state", ["sent", "received", "started", "lost", "returned", "retried", "rejected"])
def test_task_that_did_not_end_is_missing_when_nobody_holds_it(state: str) -> None:
    """Neither a worker nor the broker: it is nowhere."""
    result = ledger([attempt("a", state)], NOTHING_HELD)

    assert (result.fates, result.missing, result.suspects) == ({"a": "missing"}, 1, ("a",))


def test_task_is_not_called_missing_when_nobody_was_asked() -> None:
    """A journal alone cannot know."""
    result = ledger([attempt("a", "sent")])

    assert (result.fates, result.missing) == ({"a": "open"}, 0)


@pytest.mark.parametrize(
    ("holdings", "fate"),
    [
        (Holdings(running=frozenset("a")), "running"),
        (Holdings(held=frozenset("a")), "held"),
        (Holdings(dead=frozenset("a")), "dead-lettered"),
        (Holdings(ready=1), "waiting in the broker"),
        (Holdings(unacknowledged=1), "waiting in the broker"),
    ],
)
def test_task_that_somebody_holds_is_not_missing(holdings: Holdings, fate: str) -> None:
    """A worker that names it, its dead letter, or a message that the broker counts."""
    result = ledger([attempt("a", "started")], holdings)

    assert (result.fates, result.missing) == ({"a": fate}, 0)


def test_message_that_a_worker_has_named_does_not_stand_in_for_another_task() -> None:
    """One unacknowledged message, which is the running task's own: the other task is nowhere."""
    held = Holdings(running=frozenset("a"), unacknowledged=1)

    result = ledger([attempt("a", "started"), attempt("b", "lost")], held)

    assert (result.fates, result.missing) == ({"a": "running", "b": "missing"}, 1)


def test_broker_that_holds_fewer_messages_than_suspects_leaves_the_difference_missing() -> None:
    """It counts messages and does not name them, so the ledger says how many and among which."""
    result = ledger([attempt(task_id, "sent") for task_id in "abc"], Holdings(ready=2))

    assert (result.missing, result.suspects) == (1, ("a", "b", "c"))
    assert result.counts == {"waiting in the broker": 2, "missing": 1}


def test_later_attempt_decides() -> None:
    """The first was lost with its worker, the second finished."""
    result = ledger([attempt("a", "lost"), attempt("a", "succeeded", 1)], NOTHING_HELD)

    assert (result.fates, result.duplicates) == ({"a": "finished"}, {})


def test_task_that_was_done_twice_is_finished_and_a_duplicate() -> None:
    """At-least-once delivery has this price, and the ledger shows it."""
    result = ledger([attempt("a", "succeeded"), attempt("a", "succeeded", 1)], NOTHING_HELD)

    assert (result.fates, result.duplicates) == ({"a": "finished"}, {"a": 2})


def copy(worker: str, state: str, number: int) -> Attempt:
    return Attempt(task_id="a", state=state, worker=worker, queue="broadcast", number=number)


def test_broadcast_that_each_worker_did_once_is_finished_and_no_duplicate() -> None:
    """It is one that the same worker did twice."""
    once = [copy("w1", "succeeded", 0), copy("w2", "succeeded", 1)]

    assert ledger(once).fates == {"a": "finished"}
    assert ledger(once).duplicates == {}
    assert ledger([*once, copy("w2", "succeeded", 2)]).duplicates == {"a": 2}


def test_broadcast_that_failed_at_one_worker_has_failed() -> None:
    """Unless that worker did it after all."""
    failed = [copy("w1", "succeeded", 0), copy("w2", "failed", 1)]

    assert ledger(failed).fates == {"a": "failed"}
    assert ledger([*failed, copy("w2", "succeeded", 2)]).fates == {"a": "finished"}


def test_counts_add_up_to_the_tasks() -> None:
    """Every id has one fate."""
    states = ["succeeded", "failed", "sent", "started", "revoked"]

    result = ledger([attempt(str(number), state) for number, state in enumerate(states)], Holdings(ready=1))

    assert sum(result.counts.values()) == len(result.fates) == len(states)


def delivered(task_id: str, state: str, received: float, text: str = "('hello.',)") -> Attempt:
    return Attempt(task_id=task_id, state=state, name="work", arguments=text, received=received)


def test_message_without_an_id_that_came_again_under_another_is_not_missing() -> None:
    """Its worker was killed; what the next one did under the id that it gave it is the same message."""
    result = ledger([delivered("plain-1", "started", 1.0), delivered("plain-again-2", "succeeded", 2.0)], NOTHING_HELD)

    assert result.fates == {"plain-1": "renamed", "plain-again-2": "finished"}
    assert (result.missing, result.suspects) == (0, ())


def test_last_delivery_of_a_message_without_an_id_is_missing_when_nobody_holds_it() -> None:
    """Each later delivery stands for one that came before it, and not for itself."""
    result = ledger(
        [
            delivered("plain-again-3", "started", 3.0),
            delivered("plain-1", "received", 1.0),
            delivered("plain-again-2", "started", 2.0),
        ],
        NOTHING_HELD,
    )

    assert result.fates == {"plain-1": "renamed", "plain-again-2": "renamed", "plain-again-3": "missing"}


@pytest.mark.parametrize(
    "other",
    [
        delivered("plain-again-2", "succeeded", 2.0, "('another.',)"),
        delivered("plain-2", "succeeded", 2.0),
        delivered("plain-again-2", "succeeded", 0.5),
    ],
    ids=["another text", "not delivered before", "delivered earlier"],
)
def test_other_deliveries_do_not_stand_for_a_message_without_an_id(other: Attempt) -> None:
    """Then it is nowhere, as any other task."""
    result = ledger([delivered("plain-1", "started", 1.0), other], NOTHING_HELD)

    assert (result.fates["plain-1"], result.missing) == ("missing", 1)


def test_one_delivery_stands_for_one_message_of_the_same_text() -> None:
    """Of two that were lost with their worker, one came again."""
    result = ledger(
        [
            delivered("plain-1", "started", 1.0),
            delivered("plain-2", "started", 1.1),
            delivered("plain-again-3", "succeeded", 2.0),
        ],
        NOTHING_HELD,
    )

    assert result.counts == {"finished": 1, "renamed": 1, "missing": 1}
