"""Message queues without a broker: what is decided about a pill, a message and its options, and the heartbeat."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from proj.delivery.header_names import REASON
from proj.errors import InvalidMessage, InvalidSetting
from proj.lab.processes.waiting import wait_until
from proj.messaging import Consumer, Message, MessageQueue, Worker
from proj.messaging.handler import Handler
from proj.messaging.heartbeat import Heartbeat
from proj.messaging.poison_pill import RENEW_AFTER, PillAction, pill_action

NOWHERE = "amqp://nobody@127.0.0.1:1//"


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
    ("others", "redeliveries", "expected"),
    [
        (0, 0, PillAction.LAST),
        (0, RENEW_AFTER, PillAction.LAST),
        (1, 0, PillAction.HAND_ON),
        (12, RENEW_AFTER - 1, PillAction.HAND_ON),
        (1, RENEW_AFTER, PillAction.RENEW),
    ],
)
def test_pill_is_handed_on_until_nobody_is_left(others: int, redeliveries: int, expected: PillAction) -> None:
    """And renewed before a quorum queue would drop it."""
    assert pill_action(others=others, redeliveries=redeliveries) is expected


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
    with pytest.raises(InvalidMessage, match="is not UTF-8 text; its `body` has the bytes") as refused:
        _ = broken.text
    assert refused.value.__suppress_context__  # one traceback, and not Python's own words before ours


@pytest.mark.parametrize("name", ["", "x" * 256, "\udcff", b"my_queue", None, 5])
def test_queue_of_a_name_that_amqp_cannot_carry_is_refused(name: Any) -> None:
    """A queue without a name would be one that the broker names, and nobody finds."""
    with pytest.raises(InvalidSetting, match="a text of 1 to 255 bytes"):
        MessageQueue(name)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("prefetch", -1, "a whole number from 0 to 65535"),
        ("prefetch", 65_536, "a whole number from 0 to 65535"),
        ("prefetch", 1.5, "a whole number from 0 to 65535"),
        ("prefetch", True, "a whole number from 0 to 65535"),
        ("attempts", 0, "a whole number from 1 upwards"),
        ("attempts", -1, "a whole number from 1 upwards"),
        ("attempts", "x", "a whole number from 1 upwards"),
        ("pill", "", "a text that is not empty, such as 'HALT', or None"),
        ("pill", b"HALT", "a text that is not empty, such as 'HALT', or None"),
        ("pill", "\udcff", "a text that is not empty, such as 'HALT', or None"),
        ("timeout_s", 0, "a number of seconds above 0, or None"),
        ("timeout_s", math.inf, "a number of seconds above 0, or None"),
        ("timeout_s", math.nan, "a number of seconds above 0, or None"),
        ("timeout_s", "90", "a number of seconds above 0, or None"),
        ("heartbeat_s", -1, "a number of seconds from 1 to 65535, or 0"),
        ("heartbeat_s", 0.5, "a number of seconds from 1 to 65535, or 0"),
        ("heartbeat_s", 70_000, "a number of seconds from 1 to 65535, or 0"),
        ("heartbeat_s", None, "a number of seconds from 1 to 65535, or 0"),
        ("queue_type", "stream", "one of quorum, classic"),
        ("url", "redis://localhost", "the URL of a RabbitMQ broker"),
        ("url", "amqp://localhost:port//", "the URL of a RabbitMQ broker"),
        ("url", 5, "the URL of a RabbitMQ broker"),
    ],
)
def test_option_that_could_only_fail_later_is_refused_when_the_queue_is_named(
    option: str, value: Any, allowed: str
) -> None:
    """With what it is, and what it may be; nothing is connected yet."""
    with pytest.raises(InvalidSetting) as refused:
        MessageQueue("my_queue", **{"url": NOWHERE, option: value})

    assert str(refused.value).startswith(f"{option} is {value!r}, but must be {allowed}")


def test_password_in_a_url_that_is_refused_is_not_repeated() -> None:
    """A log may have many readers."""
    with pytest.raises(InvalidSetting) as refused:
        MessageQueue("my_queue", "http://user:secret@host:5672//")

    assert "host:5672" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("options", [{"prefetch": 0, "heartbeat_s": 0}, {"prefetch": 65_535, "heartbeat_s": 1.5}])
def test_option_at_the_end_of_what_it_may_be_is_taken(options: dict[str, Any]) -> None:
    """No limit is narrower than the broker's."""
    MessageQueue("x" * 255, NOWHERE, attempts=1, timeout_s=None, **options)


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
    queue = MessageQueue("my_queue", NOWHERE)
    with pytest.raises(RuntimeError, match="No handler is registered"):
        queue.start()
    with pytest.raises(InvalidSetting) as refused:
        queue.halt()

    assert str(refused.value).endswith(
        "The pill of the queue 'my_queue' is None, but must be a text, as in MessageQueue('my_queue', pill='HALT')."
    )


def test_handler_that_cannot_be_called_is_refused_before_any_message_is_lost_by_it() -> None:
    """`register(print())` would make a dead letter of every message."""
    with pytest.raises(InvalidSetting, match="must be a function of one message"):
        MessageQueue("my_queue", NOWHERE).register(None)  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize(("kind", "words"), [(Consumer, ("C", "in")), (Worker, ("W", "in", "out"))])
def test_consumer_without_work_is_refused_before_any_message_is_lost_by_it(
    kind: type[Consumer], words: tuple[str, ...]
) -> None:
    """`work` is what a subclass is for: one that has misspelt it would make a dead letter of every message."""
    misspelt = type("Misspelt", (kind,), {"wrok": print})

    with pytest.raises(TypeError, match=r"Misspelt.*abstract.*work"):
        misspelt(*words, NOWHERE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no good"), "Its handler failed once with ValueError: no good"),
        (AssertionError(), "Its handler failed once with AssertionError."),
        (ValueError(" "), "Its handler failed once with ValueError."),
    ],
)
def test_reason_of_a_dead_letter_ends_with_what_there_is_to_say(error: Exception, reason: str) -> None:
    """An `assert` fails without a word."""
    letters: list[dict[str, Any]] = []

    class Office:
        def publish(self, _body: bytes, **properties: Any) -> None:
            letters.append(properties["application_headers"])

    def fail(_message: Message) -> None:
        raise error

    office: Any = Office()
    Handler(fail, queue="in", publisher=office, attempts=1, acknowledge=True, pause=lambda _: True).handle(
        message(b"hello", Desk())
    )

    assert [letter[REASON] for letter in letters] == [reason]


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
