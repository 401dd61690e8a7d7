"""Message queues without a broker: the pill, the message, the options, the handler and the heartbeat."""

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


class Settlements:
    """Records acknowledgements and requeues."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, int]] = []

    def ack(self, tag: int) -> None:
        self.settled.append(("ack", tag))

    def give_back(self, tag: int) -> None:
        self.settled.append(("give back", tag))


def message(body: bytes, settlements: Settlements) -> Message:
    return Message(body, {}, tag=7, redelivered=False, settlement=settlements)


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
def test_pill_is_handed_on_until_no_other_consumer_is_left(
    others: int, redeliveries: int, expected: PillAction
) -> None:
    """It is renewed before a quorum queue would drop it."""
    assert pill_action(others=others, redeliveries=redeliveries) is expected


def test_message_is_settled_once() -> None:
    """A second `ack` or `give_back` does nothing."""
    settlements = Settlements()
    one = message(b"hello", settlements)

    one.ack()
    one.ack()
    one.give_back()

    assert settlements.settled == [("ack", 7)]


def test_message_prints_its_text_also_when_it_is_not_utf_8() -> None:
    """`print(message)` never fails; `message.text` says what is wrong."""
    assert f"{message('grüße'.encode(), Settlements())}" == "grüße"
    broken = message(b"\xff!", Settlements())
    assert f"{broken}" == "\N{REPLACEMENT CHARACTER}!"
    with pytest.raises(InvalidMessage, match="is not UTF-8 text; its `body` has the bytes") as refused:
        _ = broken.text
    assert refused.value.__suppress_context__  # one traceback, without Python's own error before ours


@pytest.mark.parametrize("name", ["", "x" * 256, "\udcff", b"my_queue", None, 5])
def test_queue_name_that_amqp_does_not_allow_is_refused(name: Any) -> None:
    """An empty name would make the broker choose one that no other client knows."""
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
def test_invalid_option_is_refused_when_the_queue_is_made(option: str, value: Any, allowed: str) -> None:
    """The error has the value and the allowed values; nothing is connected yet."""
    with pytest.raises(InvalidSetting) as refused:
        MessageQueue("my_queue", **{"url": NOWHERE, option: value})

    assert str(refused.value).startswith(f"{option} is {value!r}, but must be {allowed}")


def test_refused_url_is_reported_without_its_password() -> None:
    """The error may go to a log that many people read."""
    with pytest.raises(InvalidSetting) as refused:
        MessageQueue("my_queue", "http://user:secret@host:5672//")

    assert "host:5672" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("options", [{"prefetch": 0, "heartbeat_s": 0}, {"prefetch": 65_535, "heartbeat_s": 1.5}])
def test_largest_and_smallest_option_values_are_accepted(options: dict[str, Any]) -> None:
    """Our limits are those of the broker."""
    MessageQueue("x" * 255, NOWHERE, attempts=1, timeout_s=None, **options)


def test_queue_reads_its_defaults_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CELERY_BROKER_URL and PROJ_QUEUE_TYPE, as the Celery workers do."""
    monkeypatch.setenv("PROJ_QUEUE_TYPE", "stream")
    with pytest.raises(InvalidSetting, match="PROJ_QUEUE_TYPE"):
        MessageQueue("my_queue")
    monkeypatch.setenv("PROJ_QUEUE_TYPE", "classic")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://localhost")
    with pytest.raises(InvalidSetting, match="CELERY_BROKER_URL"):
        MessageQueue("my_queue")


def test_start_without_a_handler_and_halt_without_a_pill_are_refused() -> None:
    """The error says what is missing."""
    queue = MessageQueue("my_queue", NOWHERE)
    with pytest.raises(RuntimeError, match="No handler is registered"):
        queue.start()
    with pytest.raises(InvalidSetting) as refused:
        queue.halt()

    assert str(refused.value).endswith(
        "The pill of the queue 'my_queue' is None, but must be a text, as in MessageQueue('my_queue', pill='HALT')."
    )


def test_handler_that_cannot_be_called_is_refused() -> None:
    """`register(print())` would make every message a dead letter."""
    with pytest.raises(InvalidSetting, match="must be a function of one message"):
        MessageQueue("my_queue", NOWHERE).register(None)  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize(("kind", "words"), [(Consumer, ("C", "in")), (Worker, ("W", "in", "out"))])
def test_consumer_without_work_is_refused(kind: type[Consumer], words: tuple[str, ...]) -> None:
    """A subclass that misspells `work` would make every message a dead letter."""
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
def test_reason_of_a_dead_letter_has_the_text_of_the_error_if_any(error: Exception, reason: str) -> None:
    """A failed `assert` may have none."""
    letters: list[dict[str, Any]] = []

    class Letters:
        def publish(self, _body: bytes, **properties: Any) -> None:
            letters.append(properties["application_headers"])

    def fail(_message: Message) -> None:
        raise error

    publisher: Any = Letters()
    Handler(fail, queue="in", publisher=publisher, attempts=1, acknowledge=True, pause=lambda _: True).handle(
        message(b"hello", Settlements())
    )

    assert [letter[REASON] for letter in letters] == [reason]


def test_heartbeat_is_sent_only_while_no_other_thread_uses_the_connection() -> None:
    """Frames of two threads that write at once would be mixed."""
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
    """The thread that uses the connection meets the same error and connects again."""
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise ConnectionResetError

    heartbeat = Heartbeat(fail, 0.01, lock=threading.Lock())
    with heartbeat:
        assert tried.wait(5)
        wait_until(lambda: not heartbeat._thread.is_alive(), what="its thread to end", timeout_s=5)  # noqa: SLF001 nothing public shows it
