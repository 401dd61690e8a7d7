"""Results that their reply queue does not take: when it is tried again, and when they are let go and given up."""

from __future__ import annotations

from amqp.basic_message import Message

from proj.delivery.results.outgoing_result import OutgoingResult
from proj.delivery.results.waiting_results import KEPT_S, TRY_EVERY_S, WaitingResults

TIMEOUT_S = 90.0


def result(queue: str = "away", *, since: float = 0.0) -> OutgoingResult:
    return OutgoingResult(
        message=Message(b""), exchange="", routing_key=queue, mandatory=False, let_go=lambda: None, since=since
    )


def tried(first: OutgoingResult, *others: OutgoingResult) -> WaitingResults:
    """Where these wait for their reply queue, which is tried with the first of them."""
    waiting = WaitingResults(TIMEOUT_S)
    for one in (first, *others):
        waiting.add(one, 0.0)
    assert waiting.take_due(TRY_EVERY_S) == [first]
    return waiting


def let_go(waiting: WaitingResults, now: float) -> list[OutgoingResult]:
    """As the sender does."""
    found = waiting.take_to_let_go(now)
    for one in found:
        one.is_let_go = True
    return found


def test_reply_queue_is_tried_now_and_then_with_its_oldest_result() -> None:
    """One result a second costs nobody anything, however many wait."""
    waiting = WaitingResults(TIMEOUT_S)
    first, second, other = result(), result(since=0.1), result("other")

    assert [waiting.add(one, 0.2) for one in (first, second, other)] == [True, False, True]

    assert waiting.take_due(0.2) == []
    assert waiting.take_due(0.2 + TRY_EVERY_S) == [first, other]
    assert waiting.take_due(9.0) == []
    assert (list(waiting), len(waiting), waiting.tried) == ([second], 3, 2)
    assert not waiting.add(first, 9.0)
    assert waiting.take_due(9.0) == []
    assert waiting.take_due(9.0 + TRY_EVERY_S) == [first]


def test_reply_queue_that_takes_a_result_again_gets_all_others() -> None:
    """In their order."""
    first, second, third = result(), result(), result()
    waiting = tried(first, second, third)

    assert waiting.take_confirmed("another") == []
    assert waiting.take_confirmed("away") == [second, third]

    assert (len(waiting), waiting.has("away")) == (0, False)


def test_message_of_a_task_waits_for_its_result_for_seconds() -> None:
    """From then on that of no other task waits whose result is for the same reply queue."""
    waiting = WaitingResults(TIMEOUT_S)
    first, second, third, other = result(), result(since=1.0), result(since=5.0), result("other", since=5.0)
    waiting.add(first, 0.1)
    waiting.add(second, 1.0)

    assert let_go(waiting, KEPT_S - 0.1) == []
    assert let_go(waiting, KEPT_S) == [first, second]
    waiting.add(third, 5.0)
    waiting.add(other, 5.0)
    assert let_go(waiting, 5.0) == [third]
    assert let_go(waiting, 5.0) == []


def test_message_is_let_go_while_its_result_is_tried() -> None:
    """A try may last as long as all others together."""
    first = result()
    waiting = tried(first)

    assert let_go(waiting, KEPT_S) == [first]


def test_result_is_lost_after_its_time() -> None:
    """The reason says what RabbitMQ did with it."""
    waiting = WaitingResults(TIMEOUT_S)
    rejected, unanswered, later = result(), result("silent"), result(since=1.0)
    rejected.nack = "nack from queue 'away'"
    for one in (rejected, unanswered, later):
        waiting.add(one, 1.0)

    assert waiting.take_lost(TIMEOUT_S - 0.1) == []
    assert waiting.take_lost(TIMEOUT_S) == [
        (rejected, "RabbitMQ rejected what is for 'away' for 90.0 s"),
        (unanswered, "RabbitMQ did not confirm what is for 'silent' for 90.0 s"),
    ]
    assert list(waiting) == [later]
    waiting.take_lost(TIMEOUT_S + 1.0)
    assert not waiting.has("away")


def test_result_that_is_tried_is_not_lost_meanwhile() -> None:
    """It may be confirmed. What came after it is lost all the same when its time is over."""
    first, second = result(), result()
    waiting = tried(first, second)

    assert [lost.result for lost in waiting.take_lost(TIMEOUT_S)] == [second]
    waiting.add(first, TIMEOUT_S)
    assert [lost.result for lost in waiting.take_lost(TIMEOUT_S)] == [first]


def test_oldest_results_are_lost_when_more_wait_than_may() -> None:
    """The worker has to hold them, and nobody's tasks wait for that."""
    waiting = WaitingResults(None, most=2)
    results = [result(), result("other"), result()]
    for one in results:
        waiting.add(one, 0.0)

    (lost,) = waiting.take_lost(0.0)

    assert lost.result is results[0]
    assert lost.reason == "more than 2 results wait for reply queues that do not take them"
    assert list(waiting) == results[1:]


def test_result_that_the_broker_refuses_is_forgotten() -> None:
    """The others of its reply queue are tried."""
    first, second = result(), result()
    waiting = tried(first, second)

    waiting.forget(first)

    assert waiting.take_due(TRY_EVERY_S) == [second]


def test_reply_queue_without_results_is_forgotten() -> None:
    """Its next try would always be due."""
    first = result()
    waiting = tried(first)

    waiting.forget(first)

    assert not waiting.has("away")
    assert waiting.look_within_s(9.0) == KEPT_S


def test_nothing_is_due_while_no_reply_queue_is_tried() -> None:
    """The broker blocks publishers, and the sender's thread would look again and again."""
    waiting = WaitingResults(TIMEOUT_S)
    waiting.add(result(since=7.0), 7.0)
    let_go(waiting, 7.0 + KEPT_S)

    assert waiting.look_within_s(20.0) == 0
    assert waiting.look_within_s(20.0, tries=False) == KEPT_S


def test_result_that_is_confirmed_late_waits_no_more() -> None:
    """Unless it is tried again now: then its second confirm counts."""
    first, second = result(), result()
    waiting = tried(first, second)

    assert [waiting.take_late(one) for one in (first, second, second)] == [False, True, False]
    assert (list(waiting), len(waiting)) == ([], 1)


def test_sender_looks_again_when_something_is_due() -> None:
    """And at least every few seconds, because a result may be left without an answer."""
    waiting = WaitingResults(TIMEOUT_S)
    assert waiting.look_within_s(7.0) == KEPT_S
    first = result(since=7.0)
    waiting.add(first, 7.0)
    assert waiting.look_within_s(7.5) == TRY_EVERY_S - 0.5
    waiting.take_due(7.0 + TRY_EVERY_S)
    assert waiting.look_within_s(8.0) == KEPT_S - 1.0
    let_go(waiting, 7.0 + KEPT_S)
    assert waiting.look_within_s(20.0) == KEPT_S
