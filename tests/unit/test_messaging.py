"""Message queues without a broker: what is decided about a pill, a message and its name, and the heartbeat."""

from __future__ import annotations

import threading

import pytest

from proj.errors import InvalidMessage, InvalidSetting
from proj.lab.deadline import wait_until
from proj.messaging import Consumer, Message, MessageQueue
from proj.messaging.halting import RENEW_AFTER, Course, course
from proj.messaging.heartbeat import Heartbeat


class Desk:
    """Remembers what was settled."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, int]] = []

    def ack(self, tag: int) -> None:
        self.settled.append(("ack", tag))

    def give_back(self, tag: int) -> None:
        self.settled.append(("give back", tag))


def message(body: bytes, desk: Desk) -> Message:
    return Message(body, {}, tag=7, redelivered=False, settlement=desk)


@pytest.mark.parametrize(
    ("others", "deliveries", "expected"),
    [
        (0, 0, Course.LAST),
        (0, RENEW_AFTER, Course.LAST),
        (1, 0, Course.HAND_ON),
        (12, RENEW_AFTER - 1, Course.HAND_ON),
        (1, RENEW_AFTER, Course.RENEW),
    ],
)
def test_pill_is_handed_on_until_nobody_is_left(others: int, deliveries: int, expected: Course) -> None:
    """And renewed before a quorum queue would drop it."""
    assert course(others=others, deliveries=deliveries) is expected


def test_message_is_settled_once() -> None:
    """Whatever a handler and its caller do after each other."""
    desk = Desk()
    one = message(b"hello", desk)

    one.ack()
    one.ack()
    one.give_back()

    assert desk.settled == [("ack", 7)]


def test_message_prints_as_its_text_also_when_it_is_none() -> None:
    """`print(message)` never fails; `text` says what is wrong."""
    assert f"{message('grüße'.encode(), Desk())}" == "grüße"
    broken = message(b"\xff!", Desk())
    assert f"{broken}" == "\N{REPLACEMENT CHARACTER}!"
    with pytest.raises(InvalidMessage, match="is not UTF-8 text"):
        _ = broken.text


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_queue_of_a_name_that_amqp_cannot_carry_is_refused(name: str) -> None:
    """A queue without a name would be one that the broker names, and nobody finds."""
    with pytest.raises(InvalidSetting, match="1 to 255 bytes"):
        MessageQueue(name)


def test_queue_reads_what_it_is_not_told_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CELERY_BROKER_URL and PROJ_QUEUE_TYPE, as our workers do."""
    monkeypatch.setenv("PROJ_QUEUE_TYPE", "stream")
    with pytest.raises(InvalidSetting, match="PROJ_QUEUE_TYPE"):
        MessageQueue("my_queue")
    monkeypatch.setenv("PROJ_QUEUE_TYPE", "classic")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://localhost")
    with pytest.raises(InvalidSetting, match="CELERY_BROKER_URL"):
        MessageQueue("my_queue")


def test_queue_without_a_handler_or_a_pill_says_so() -> None:
    """Nothing is started that could do nothing."""
    queue = MessageQueue("my_queue", "amqp://nobody@127.0.0.1:1//")
    with pytest.raises(RuntimeError, match="No handler is registered"):
        queue.start()
    with pytest.raises(InvalidSetting, match="pill"):
        queue.halt()


def test_consumer_must_say_what_its_work_is() -> None:
    """`work` is what a subclass is for."""
    with pytest.raises(NotImplementedError):
        Consumer("C", "my_queue", "amqp://nobody@127.0.0.1:1//").work("hello")


def test_heartbeat_beats_only_while_nobody_else_uses_the_connection() -> None:
    """Two threads that write at once would mix their frames."""
    lock, beats = threading.Lock(), []

    with Heartbeat(lambda: beats.append(lock.locked()), 0.01, lock=lock):
        wait_until(lambda: len(beats) > 1, what="two beats", timeout_s=5)
        with lock:
            count = len(beats)
            assert not threading.Event().wait(0.1)
            assert len(beats) == count
        wait_until(lambda: len(beats) > count, what="another beat", timeout_s=5)

    assert all(beats)


def test_heartbeat_ends_with_the_connection() -> None:
    """The thread that uses it meets the same error, and connects again."""
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise ConnectionResetError

    heartbeat = Heartbeat(fail, 0.01, lock=threading.Lock())
    with heartbeat:
        assert tried.wait(5)
        wait_until(lambda: not heartbeat._thread.is_alive(), what="its thread to end", timeout_s=5)  # noqa: SLF001 nothing else tells
