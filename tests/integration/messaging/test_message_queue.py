"""MessageQueue on a real RabbitMQ: publishing, handlers, acknowledgements, requeues and dead letters."""

from __future__ import annotations

import signal
import struct
import threading
from typing import TYPE_CHECKING, Any

import amqp
import pytest
from kombu import Connection

from proj.errors import InvalidMessage, QueueFull
from proj.lab.processes.waiting import wait_until
from proj.messaging import Message, handler
from proj.queues import DEAD_LETTERS
from tests.integration.messaging.conftest import TIMEOUT_S, through, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.processes.proxy import Proxy
    from tests.integration.messaging.conftest import Queues


def test_published_text_is_persistent_in_a_durable_queue_that_did_not_exist(queues: Queues) -> None:
    """Any client can read it, and it survives a restart of the broker."""
    queues().publish("grüße...")

    (message,) = queues.take()

    assert message.body == "grüße...".encode()
    properties = dict(message.properties)
    properties.pop("application_headers", None)  # a quorum queue has counted the deliveries
    assert len(properties.pop("message_id")) == 36
    assert properties == {"delivery_mode": 2, "content_type": "text/plain", "content_encoding": "utf-8"}


def test_queue_that_was_closed_connects_again_when_it_is_used(quorum: Queues) -> None:
    """`with` may be used more than once, and by several threads."""
    queue = quorum()
    for text in ("first", "second"):
        with queue:
            queue.publish(text)

    assert quorum.bodies() == ["first", "second"]


def test_publish_survives_a_lost_connection(quorum: Queues, proxy: Proxy) -> None:
    """Each text is there when `publish` has returned, and only once when the loss came between two texts."""
    queue = quorum(url=through(proxy, quorum))
    for number in range(6):
        if number % 2:
            proxy.cut()
        queue.publish(str(number))

    assert quorum.bodies() == [*map(str, range(6))]


def test_queue_that_was_deleted_is_declared_again_by_the_next_message(quorum: Queues) -> None:
    """A publisher need not be restarted."""
    queue = quorum()
    queue.publish("first")
    quorum.take()
    with queue._publisher._connection.clone() as connection:  # noqa: SLF001 a connection like its own
        connection.channel().queue_delete("my_queue")

    queue.publish("second")

    assert quorum.bodies() == ["second"]


def test_order_is_kept_for_one_consumer(queues: Queues) -> None:
    """First in, first out."""
    queue = queues()
    for number in range(30):
        queue.publish(str(number))
    queue.publish("end")

    seen = []
    for message in queue:
        seen.append(message.text)
        if message.text == "end":
            queue.stop()

    assert seen == [*map(str, range(30)), "end"]
    assert queues.ready() == 0


def test_equally_fast_consumers_take_turns(quorum: Queues, running: Callable[..., Any]) -> None:
    """Round robin: each of two consumers gets every other message."""
    both = threading.Barrier(2)
    seen: dict[str, list[str]] = {"P1": [], "P2": []}
    consumers = []
    for texts in seen.values():
        consumer = quorum()
        consumer.register(lambda message, texts=texts: (texts.append(message.text), both.wait(TIMEOUT_S)))
        consumers.append(consumer)
    consumers[0].declare()
    with running(*consumers):
        wait_until(lambda: quorum.consumers() == 2, what="two consumers", timeout_s=TIMEOUT_S)
        for number in range(10):
            consumers[0].publish(str(number))
        wait_until(lambda: sum(map(len, seen.values())) == 10, what="ten messages", timeout_s=TIMEOUT_S)

    assert {name: len(texts) for name, texts in seen.items()} == {"P1": 5, "P2": 5}


def test_consumer_that_is_busy_gets_no_other_message(queues: Queues, running: Callable[..., Any]) -> None:
    """Fair dispatch: the free consumer gets the next message."""
    done = threading.Event()
    busy, free = queues(), queues()
    seen: dict[str, list[str]] = {"busy": [], "free": []}
    busy.register(lambda message: (seen["busy"].append(message.text), done.wait(TIMEOUT_S)))
    free.register(lambda message: seen["free"].append(message.text))
    with running(busy):
        busy.publish("long")
        wait_until(lambda: seen["busy"], what="the long one to begin", timeout_s=TIMEOUT_S)
        with running(free):
            for number in range(10):
                busy.publish(str(number))
            wait_until(lambda: len(seen["free"]) == 10, what="ten messages", timeout_s=TIMEOUT_S)
            done.set()

    assert seen == {"busy": ["long"], "free": [*map(str, range(10))]}


def test_message_is_acknowledged_after_its_handler_and_not_before(queues: Queues) -> None:
    """A consumer that dies in its handler loses nothing."""
    queue = queues()
    queue.publish("first")

    def interrupt(_message: Message) -> None:
        raise KeyboardInterrupt

    queue.register(interrupt)
    with pytest.raises(KeyboardInterrupt):
        queue.start()
    # A quorum queue takes a message back a moment after its consumer has gone.
    wait_until(lambda: queues.ready() == 1, what="the message to be ready again", timeout_s=TIMEOUT_S)

    seen = []
    queue.register(lambda message: (seen.append((message.text, message.redelivered)), queue.stop()))
    queue.start()
    assert seen == [("first", True)]
    assert queues.ready() == 0


def test_unacknowledged_message_is_requeued_when_its_consumer_has_ended(queues: Queues) -> None:
    """`acknowledge=False`: the handler acknowledges; a message that it forgets is delivered again."""
    queue = queues(prefetch=0)
    for text in ("forgotten", "remembered", "end"):
        queue.publish(text)

    def remember_one(message: Message) -> None:
        if message.text == "remembered":
            message.ack()
        if message.text == "end":
            queue.stop()

    queue.register(remember_one, acknowledge=False)
    queue.start()

    assert queues.bodies() == ["forgotten", "end"]


def test_message_is_acknowledged_by_another_thread(quorum: Queues, running: Callable[..., Any]) -> None:
    """A handler that gives its work to threads can acknowledge from them."""
    queue = quorum()
    handed: list[Message] = []
    queue.register(handed.append, acknowledge=False)
    with running(queue):
        queue.publish("first")
        queue.publish("second")
        wait_until(lambda: len(handed) == 1, what="the first message", timeout_s=TIMEOUT_S)
        handed[0].ack()
        wait_until(lambda: len(handed) == 2, what="the second message", timeout_s=TIMEOUT_S)
        handed[1].ack()
        wait_until(lambda: not queue._subscriptions[0]._settled, what="it to be written", timeout_s=TIMEOUT_S)  # noqa: SLF001 nothing public shows it

    assert quorum.ready() == 0


def test_loop_acknowledges_a_message_when_it_asks_for_the_next(queues: Queues) -> None:
    """An error or `break` requeues the current message; those before it are acknowledged."""
    queue = queues()
    for text in ("first", "second", "third"):
        queue.publish(text)

    with pytest.raises(ZeroDivisionError), queue:  # noqa: PT012 the loop is what raises
        for message in queue:
            if message.text == "second":
                raise ZeroDivisionError
    wait_until(lambda: queues.ready() == 2, what="both to be ready again", timeout_s=TIMEOUT_S)
    for message in queue:
        assert message.text == "second"
        break

    assert queues.bodies() == ["second", "third"]


def test_handler_that_fails_is_tried_again_and_then_its_message_is_a_dead_letter(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `attempts` attempts, with the reason; then the next message is worked on."""
    monkeypatch.setattr(handler, "RETRY_PAUSE_S", 0.01)
    queue = queues()
    queue.publish("bad")
    queue.publish("good")
    seen = []

    def fail_at_bad(message: Message) -> None:
        seen.append(message.text)
        if message.text == "bad":
            raise ValueError("no good")
        queue.stop()

    queue.register(fail_at_bad)
    queue.start()

    assert seen == ["bad", "bad", "bad", "good"]
    (letter,) = queues.letters()
    headers = letter.properties["application_headers"]
    assert letter.body == b"bad"
    assert headers["x-proj-reason"] == "Its handler failed 3 times, the last time with ValueError: no good"
    assert (headers["x-proj-queue"], headers["x-proj-attempts"]) == ("my_queue", 3)
    assert queues.ready() == 0


def test_handler_that_succeeds_at_the_second_attempt_leaves_no_dead_letter(
    quorum: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is not the fault of the message, such as QueueFull, is not counted as an attempt."""
    monkeypatch.setattr(handler, "RETRY_PAUSE_S", 0.01)
    queue = quorum(attempts=2)
    queue.publish("first")
    failures = iter([QueueFull("full"), ValueError(), QueueFull("full"), None])

    def fail_sometimes(_message: Message) -> None:
        failure = next(failures)
        if failure is not None:
            raise failure
        queue.stop()

    queue.register(fail_sometimes)
    queue.start()

    assert quorum.letters() == []
    assert quorum.ready() == 0


def test_message_that_is_no_text_is_dead_lettered_at_once_by_a_handler_that_reads_its_text(quorum: Queues) -> None:
    """The dead letter has its bytes, and a handler can read them as `body`."""
    queue = quorum()
    queue._publisher.publish(b"\xff\x00", queue=queue._queue, subject="bytes", content_type="image/x")  # noqa: SLF001 as another client publishes
    queue.publish("end")
    tried = []

    def read(message: Message) -> None:
        tried.append(message.body)
        if message.text == "end":
            queue.stop()

    queue.register(read)
    queue.start()

    assert tried == [b"\xff\x00", b"end"]
    (letter,) = quorum.letters()
    assert (letter.body, letter.properties["content_type"]) == (b"\xff\x00", "image/x")
    assert "is not UTF-8 text" in letter.properties["application_headers"]["x-proj-reason"]


def test_queue_of_dead_letters_that_was_deleted_is_made_again_with_its_binding(quorum: Queues) -> None:
    """What expires in a queue with a policy goes to the exchange, and without the binding nowhere."""
    with Connection(quorum.url) as connection, connection.channel() as channel:
        channel.queue_delete(DEAD_LETTERS)
        channel.exchange_delete(DEAD_LETTERS)
    queue = quorum(attempts=1)
    queue.publish("bad")
    queue.publish("good")

    def fail_at_bad(message: Message) -> None:
        if message.text == "bad":
            raise ValueError("no good")
        queue.stop()

    queue.register(fail_at_bad)
    queue.start()
    with Connection(quorum.url, transport_options={"confirm_publish": True}) as connection:
        connection.default_channel.basic_publish(amqp.Message("expired"), exchange=DEAD_LETTERS)

    assert [bytes(letter.body).decode() for letter in quorum.letters()] == ["bad", "expired"]


def test_message_with_unreadable_properties_is_worked_on(quorum: Queues) -> None:
    """py-amqp alone would end the connection because of a time in the year 292 billion, again and again."""
    queue = quorum()
    queue.declare()
    with Connection(quorum.url) as connection, connection.channel() as channel:
        channel.basic_publish(Ancient(b"first"), "", "my_queue")
    seen = []
    queue.register(lambda message: (seen.append(message.text), queue.stop()))

    queue.start()

    assert seen == ["first"]
    assert quorum.ready() == 0


class Ancient(amqp.Message):
    """A message with one header, a time that is too large for Python."""

    def _serialize_properties(self) -> bytes:
        table = b"\x01tT" + struct.pack(">Q", 2**63)
        return struct.pack(">HI", 0x2000, len(table)) + table


def test_text_that_utf_8_cannot_write_is_refused(quorum: Queues) -> None:
    """No client could read it; bytes are refused too."""
    with pytest.raises(InvalidMessage, match="UTF-8"):
        quorum().publish("\udcff")
    with pytest.raises(InvalidMessage, match="UTF-8"):
        quorum().publish(b"bytes")  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize("prefetch", [1, 0])
def test_stop_in_a_handler_acknowledges_its_message_and_requeues_the_others(queues: Queues, prefetch: int) -> None:
    """Only the current message is acknowledged."""
    queue = queues(prefetch=prefetch)
    for number in range(5):
        queue.publish(str(number))
    seen = []
    queue.register(lambda message: (seen.append(message.text), queue.stop()))

    queue.start()

    assert seen == ["0"]
    assert queues.bodies() == ["1", "2", "3", "4"]


def test_stop_by_another_thread_ends_a_consumer_that_waits(quorum: Queues, running: Callable[..., Any]) -> None:
    """It ends although no message comes."""
    queue = quorum()
    queue.register(print)
    queue.declare()
    with running(queue) as threads:
        wait_until(lambda: quorum.consumers() == 1, what="the consumer", timeout_s=TIMEOUT_S)
        queue.stop()
        wait_for_end(threads)


def test_stop_by_a_signal_handler_ends_a_consumer_that_waits(quorum: Queues) -> None:
    """The signal handler runs in the thread that consumes."""
    queue = quorum()
    queue.register(print)
    earlier = signal.signal(signal.SIGALRM, lambda *_: queue.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        queue.start()
    finally:
        signal.signal(signal.SIGALRM, earlier)


def test_stop_before_the_start_ends_the_next_start_only(quorum: Queues) -> None:
    """A signal may come before `start`; the start after that works again."""
    queue = quorum()
    queue.register(lambda _message: queue.stop())
    queue.stop()
    queue.start()

    queue.publish("first")
    queue.start()

    assert quorum.ready() == 0
