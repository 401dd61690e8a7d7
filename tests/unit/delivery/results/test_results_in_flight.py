"""Results in flight over a channel whose broker the test plays: which of them wait, and when."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.results import results_in_flight
from proj.delivery.results.outgoing_result import OutgoingResult
from proj.delivery.results.results_in_flight import ResultsInFlight
from proj.delivery.results.waiting_results import KEPT_S, TRY_EVERY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.publishing.outgoing_message import OutgoingMessage


class Channel:
    """A confirm channel that only notes what is written."""

    def __init__(self) -> None:
        self.in_flight: dict[int, OutgoingMessage] = {}
        self.alive, self.blocked, self.is_refused = True, False, False
        self.on_settled: Any = None
        self.written: list[str] = []
        self.events: dict[str, set[Callable[[int, bool], None]]] = {"basic_ack": set()}

    def write(self, outgoing: OutgoingMessage) -> None:
        self.written.append(outgoing.task_id)
        self.in_flight[len(self.written)] = outgoing

    def answer(self, tag: int, *, acked: bool) -> None:
        """Confirm or reject what was written as the `tag`-th message."""
        for heard in self.events["basic_ack"] if acked else ():
            heard(tag, False)  # noqa: FBT003 py-amqp's own signature
        outgoing = self.in_flight.pop(tag, None)
        if outgoing is None:
            return
        outgoing.settled, outgoing.acked = True, acked
        self.on_settled(outgoing)

    def drain(self, timeout_s: float) -> bool:
        return timeout_s < 0

    def cork(self, *, on: bool) -> None:
        """Send what is collected."""

    def check_progress(self) -> None:
        """It has answered something lately."""

    def check_connection(self) -> None:
        """The broker answers."""

    def together(self) -> Any:
        return pytest.MonkeyPatch.context()


class Sender(SimpleNamespace):
    """What the thread of a sender does, at a time that the test tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connection: Any = SimpleNamespace(
            connection_errors=(), channel_errors=(), recoverable_connection_errors=(), alt=[]
        )
        producer: Any = SimpleNamespace(connection=connection)
        super().__init__(channel=Channel(), messages=ResultsInFlight(producer, timeout_s=90.0), now=time.monotonic())
        monkeypatch.setattr(results_in_flight.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ConfirmChannel, "for_connection", lambda _connection: self.channel)

    def add(self, name: str, queue: str = "theirs", *, not_before: float = 0.0) -> OutgoingResult:
        result = OutgoingResult(
            message=Message(b"", correlation_id=name),
            exchange="",
            routing_key=queue,
            mandatory=False,
            let_go=lambda: None,
            since=self.now,
            not_before=not_before,
        )
        self.messages.add(result)
        return result

    def look(self, after_s: float = 0.0) -> list[OutgoingResult]:
        """Look and write when so many seconds have passed; what is let go."""
        self.now += after_s
        found, _lost = self.messages.look()
        for one in found:
            one.is_let_go = True
        self.messages.wait()
        return found


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    return Sender(monkeypatch)


def test_rejected_result_keeps_no_other_waiting(sender: Sender) -> None:
    """It is written again after a while, and the others of its reply queue when it is confirmed."""
    first = sender.add("first")
    sender.channel.answer(1, acked=False)

    second = sender.add("second")
    sender.add("ours", "ours")
    assert sender.channel.written == ["first", "ours"]
    sender.look(TRY_EVERY_S)
    assert sender.channel.written == ["first", "ours", "first"]
    sender.channel.answer(3, acked=True)
    sender.look()

    assert sender.channel.written == ["first", "ours", "first", "second"]
    assert sender.messages.take_settled() == [first]
    assert second in sender.messages.unsettled()


def test_result_without_an_answer_is_let_go(sender: Sender) -> None:
    """So is the next one for the same reply queue, at once."""
    first = sender.add("first")

    assert sender.look(KEPT_S - 0.1) == []
    assert sender.look(0.1) == [first]
    second = sender.add("second")
    assert sender.look(0.1) == [second]
    assert sender.messages.count == 2


def test_result_that_is_confirmed_late_is_not_sent_again(sender: Sender) -> None:
    """A slow broker has it, and its reply queue gets the others at once."""
    first = sender.add("first")
    sender.look(KEPT_S)
    second = sender.add("second")
    assert sender.channel.written == ["first"]

    sender.channel.answer(1, acked=True)
    sender.look(TRY_EVERY_S)

    assert sender.channel.written == ["first", "second"]
    assert sender.messages.take_settled() == [first]
    assert sender.messages.unsettled() == (second,)


def test_reply_queues_that_do_not_answer_lose_no_newer_result(sender: Sender) -> None:
    """Each result has its own time, also when some try is always on its way."""
    sender.add("first", "silent")
    sender.look(KEPT_S / 2)
    sender.add("second", "silent too")
    for _ in range(200):
        sender.look(KEPT_S / 6)
    newer = sender.add("newer", "silent")
    sender.look(KEPT_S / 6)

    assert newer in sender.messages.all_left()


def test_no_result_is_let_go_while_the_broker_reads_nothing(sender: Sender) -> None:
    """In an alarm nobody's results arrive, and the tasks' messages keep them from being lost with the worker."""
    first = sender.add("first")
    sender.channel.blocked = True
    assert sender.look(10 * KEPT_S) == []

    sender.channel.blocked = False
    assert sender.look(KEPT_S - 0.1) == []
    assert sender.look(0.1) == [first]


def test_result_that_could_overtake_started_is_written_later(sender: Sender) -> None:
    """Others are not."""
    sender.add("late", not_before=sender.now + 1.0)
    sender.add("other")
    assert (sender.channel.written, sender.messages.count) == (["other"], 2)

    sender.look(1.0)
    assert sender.channel.written == ["other", "late"]
