"""The ledger: the fate of every task."""

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
    """The end decides, whatever the broker holds."""
    assert ledger([attempt("a", state)], NOTHING_HELD).fates == {"a": fate}


@pytest.mark.parametrize("state", ["sent", "received", "started", "lost", "returned", "retried", "rejected"])
def test_task_that_did_not_end_is_missing_if_neither_worker_nor_broker_holds_it(state: str) -> None:
    """No attempt state without an end counts as an end."""
    result = ledger([attempt("a", state)], NOTHING_HELD)

    assert (result.fates, result.missing, result.unaccounted) == ({"a": "missing"}, 1, ("a",))


def test_task_is_open_and_not_missing_if_workers_and_broker_were_not_asked() -> None:
    """A journal alone does not tell what is held now."""
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
        (Holdings(unacknowledged=None, in_advance=1), "waiting in the broker"),
    ],
)
def test_task_that_a_worker_the_broker_or_a_dead_letter_holds_is_not_missing(holdings: Holdings, fate: str) -> None:
    """Each kind of holding gives its own fate."""
    result = ledger([attempt("a", "started")], holdings)

    assert (result.fates, result.missing) == ({"a": fate}, 0)


def test_unacknowledged_message_of_a_running_task_does_not_account_for_another_task() -> None:
    """The only unacknowledged message is that of the running task, so the other task is missing."""
    held = Holdings(running=frozenset("a"), unacknowledged=1)

    result = ledger([attempt("a", "started"), attempt("b", "lost")], held)

    assert (result.fates, result.missing) == ({"a": "running", "b": "missing"}, 1)


def test_message_that_a_dispatcher_holds_counts_once() -> None:
    """It is one of the unacknowledged ones, where the broker reports those."""
    held = Holdings(running=frozenset("a"), unacknowledged=3, in_advance=2)

    result = ledger([attempt(task_id, "sent") for task_id in "abcd"], held)

    assert (result.missing, result.unaccounted) == (1, ("b", "c", "d"))


def test_difference_between_unaccounted_tasks_and_held_messages_is_missing() -> None:
    """The broker counts messages and does not name them, so the ledger gives the number and the possible ids."""
    result = ledger([attempt(task_id, "sent") for task_id in "abc"], Holdings(ready=2))

    assert (result.missing, result.unaccounted) == (1, ("a", "b", "c"))
    assert result.counts == {"waiting in the broker": 2, "missing": 1}


def test_success_of_a_later_attempt_decides() -> None:
    """The first attempt was lost with its worker, the second one succeeded."""
    result = ledger([attempt("a", "lost"), attempt("a", "succeeded", 1)], NOTHING_HELD)

    assert (result.fates, result.duplicates) == ({"a": "finished"}, {})


def test_task_that_succeeded_twice_is_finished_and_a_duplicate() -> None:
    """Delivery is at least once, and the ledger shows how often work was repeated."""
    result = ledger([attempt("a", "succeeded"), attempt("a", "succeeded", 1)], NOTHING_HELD)

    assert (result.fates, result.duplicates) == ({"a": "finished"}, {"a": 2})


def copy(worker: str, state: str, number: int) -> Attempt:
    return Attempt(task_id="a", state=state, worker=worker, queue="broadcast", number=number)


def test_broadcast_that_each_worker_did_once_is_no_duplicate() -> None:
    """It is a duplicate only if one worker did it twice."""
    once = [copy("w1", "succeeded", 0), copy("w2", "succeeded", 1)]

    assert ledger(once).fates == {"a": "finished"}
    assert ledger(once).duplicates == {}
    assert ledger([*once, copy("w2", "succeeded", 2)]).duplicates == {"a": 2}


def test_broadcast_that_failed_at_one_worker_has_failed() -> None:
    """If that worker succeeds later, it is finished."""
    failed = [copy("w1", "succeeded", 0), copy("w2", "failed", 1)]

    assert ledger(failed).fates == {"a": "failed"}
    assert ledger([*failed, copy("w2", "succeeded", 2)]).fates == {"a": "finished"}


def test_counts_add_up_to_the_tasks() -> None:
    """Every task has one fate."""
    states = ["succeeded", "failed", "sent", "started", "revoked"]

    result = ledger([attempt(str(number), state) for number, state in enumerate(states)], Holdings(ready=1))

    assert sum(result.counts.values()) == len(result.fates) == len(states)


def delivered(task_id: str, state: str, received: float, text: str = "('hello.',)") -> Attempt:
    return Attempt(task_id=task_id, state=state, name="work", arguments=text, received=received)


def test_redelivered_message_without_an_id_is_not_missing() -> None:
    """Its worker was killed; the next worker did the same message under another generated id."""
    result = ledger([delivered("plain-1", "started", 1.0), delivered("plain-again-2", "succeeded", 2.0)], NOTHING_HELD)

    assert result.fates == {"plain-1": "renamed", "plain-again-2": "finished"}
    assert (result.missing, result.unaccounted) == (0, ())


def test_last_delivery_of_a_message_without_an_id_is_missing_if_nothing_holds_it() -> None:
    """Each redelivery accounts for one earlier delivery, and not for itself."""
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
def test_unrelated_delivery_does_not_account_for_a_message_without_an_id(other: Attempt) -> None:
    """The message is then missing, as any other task."""
    result = ledger([delivered("plain-1", "started", 1.0), other], NOTHING_HELD)

    assert (result.fates["plain-1"], result.missing) == ("missing", 1)


def test_one_redelivery_accounts_for_one_of_two_equal_messages() -> None:
    """Two messages were lost with their worker, and one was delivered again."""
    result = ledger(
        [
            delivered("plain-1", "started", 1.0),
            delivered("plain-2", "started", 1.1),
            delivered("plain-again-3", "succeeded", 2.0),
        ],
        NOTHING_HELD,
    )

    assert result.counts == {"finished": 1, "renamed": 1, "missing": 1}


def begun(task_id: str, worker: str = "w@x", state: str = "started") -> Attempt:
    """An attempt of the task `early` at a worker."""
    return Attempt(task_id=task_id, state=state, name="early", worker=worker, queue="q")


EARLY = {"w@x": frozenset({"early"})}


def test_task_that_was_acknowledged_before_its_worker_was_killed_is_lost_whatever_the_broker_holds() -> None:
    """Its message is none of those that wait, so it is not counted against them."""
    result = ledger([begun("a"), attempt("b", "sent")], Holdings(ready=5), early=EARLY)

    assert result.fates == {"a": "lost", "b": "waiting in the broker"}
    assert (result.lost, result.missing, result.unaccounted) == (("a",), 0, ("b",))
    assert result.counts == {"waiting in the broker": 1, "lost": 1}


@pytest.mark.parametrize(
    ("one", "holdings", "fate"),
    [
        # Its worker has it.
        (begun("a"), Holdings(running=frozenset("a")), "running"),
        # Its worker is connected and says nothing.
        (begun("a"), Holdings(silent=frozenset({"w@x"})), "missing"),
        # It was acknowledged late: another worker, or one that has not told.
        (begun("a", worker="late@x"), Holdings(ready=1), "waiting in the broker"),
        # It was not begun: its message goes back to the queue.
        (begun("a", state="received"), Holdings(ready=1), "waiting in the broker"),
        (begun("a", state="succeeded"), Holdings(), "finished"),
        (begun("a"), None, "open"),
    ],
)
def test_task_is_not_lost_while_it_may_still_be_done(one: Attempt, holdings: Holdings | None, fate: str) -> None:
    """Or when it is done."""
    assert ledger([one], holdings, early=EARLY).fates == {"a": fate}
