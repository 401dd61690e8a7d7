"""The end of a consumer by the pill when broker, network or next queue are in the way of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from proj.errors import QueueFull
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.messaging import Consumer, Message, Worker, launch
from proj.messaging.subscription import Subscription
from tests.integration.messaging.conftest import TIMEOUT_S, through, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker
    from tests.integration.messaging.conftest import Queues


class Upper(Worker):
    """Its output is its input in capital letters."""

    def work(self, message: str) -> None:
        self.write(message.upper())


class Notes(Consumer):
    """Notes what it was given."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.seen: list[str] = []

    def work(self, message: str) -> None:
        self.seen.append(message)


def noted(queue: Any, times: list[str], name: str) -> Any:
    """The queue with a handler that does nothing, and a note of who ended last."""
    queue.register(lambda _: None, when_last=lambda: times.append(name))
    return queue


def test_pill_waits_for_the_broker_to_say_how_many_consume(
    quorum: Queues, broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that is slow is reported as a queue without consumers: that ends no stage before its work is done."""
    leader, held, free = f"'{vhost}_my_queue'", threading.Event(), threading.Event()
    stalled: list[int] = []
    stock = Subscription.count

    def count(self: Subscription) -> Any:
        if not stalled and threading.current_thread().name == "idle":
            broker.order("eval", f"sys:suspend({leader}).")
            resume = threading.Timer(1, lambda: broker.order("eval", f"sys:resume({leader})."))
            resume.start()
            stalled.append(stock(self).consumer_count)
            assert stalled == [0]
        return stock(self)

    class Slow(Upper):
        def work(self, message: str) -> None:
            held.set()
            assert free.wait(TIMEOUT_S)
            super().work(message)

    monkeypatch.setattr(Subscription, "count", count)
    queue = quorum(pill="HALT")
    queue.publish("first")
    busy, idle = (
        Slow("busy", "my_queue", "upper", **quorum.options),
        Upper("idle", "my_queue", "upper", **quorum.options),
    )
    end = Notes("end", "upper", **quorum.options)
    early = threading.Thread(target=busy.start)
    early.start()
    assert held.wait(TIMEOUT_S)
    late = threading.Thread(target=launch, args=(idle, end))
    late.start()
    wait_until(lambda: quorum.consumers() == 2, what="both to consume", timeout_s=TIMEOUT_S)
    queue.halt()
    wait_until(lambda: quorum.ready() == 1, what="the pill to be handed on", timeout_s=TIMEOUT_S)
    free.set()
    wait_for_end([early, late])

    assert (stalled, end.seen) == ([0], ["FIRST"])
    assert (quorum.ready(), quorum.ready("upper")) == (0, 0)


def test_what_follows_the_pill_is_tried_until_it_passes(quorum: Queues, caplog: pytest.LogCaptureFixture) -> None:
    """A next queue that is full for a while costs no pill: it is in hand, and is given out once."""
    queue = quorum(pill="HALT")
    queue.halt()
    tries: list[int] = []

    def follow() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise QueueFull("There is no room in the queue.")

    queue.register(lambda _: None, when_last=follow)
    queue.start()

    assert tries == [0, 1, 2]
    actions = [record.action for record in caplog.records if hasattr(record, "action")]
    assert actions.count("pill_waits") == 2
    assert "connection_lost" not in actions
    assert (quorum.ready(), quorum.letters()) == (0, [])


def test_consumer_that_waits_with_its_pill_can_be_stopped_and_leaves_it(quorum: Queues) -> None:
    """Who starts next does what follows."""
    queue = quorum(pill="HALT")
    queue.halt()

    def follow() -> None:
        queue.stop()
        raise QueueFull("There is no room in the queue.")

    queue.register(lambda _: None, when_last=follow)
    queue.start()

    wait_until(lambda: quorum.ready() == 1, what="the pill", timeout_s=TIMEOUT_S)


def test_error_of_what_follows_the_pill_ends_the_consumer_and_leaves_the_pill(queues: Queues) -> None:
    """It is no lost connection, though Python has one class for both."""
    queue = queues(pill="HALT")
    queue.halt()

    def follow() -> None:
        raise FileNotFoundError("done.txt")

    queue.register(lambda _: None, when_last=follow)
    with pytest.raises(FileNotFoundError, match=r"done\.txt"):
        queue.start()

    wait_until(lambda: queues.ready() == 1, what="the pill", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("settled_by", ["give_back", "ack"])
def test_connection_that_is_lost_behind_the_pill_does_not_bring_its_consumer_back(
    quorum: Queues, proxy: Proxy, running: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, settled_by: str
) -> None:
    """It has handed it on, or was the last; the next pill would never come."""
    last: list[str] = []
    cut = noted(quorum(url=through(proxy, quorum), pill="HALT"), last, "cut")
    other = noted(quorum(pill="HALT"), last, "other")
    stock = getattr(Message, settled_by)

    def settle(self: Message) -> None:
        stock(self)
        if threading.current_thread() is first[0]:
            monkeypatch.undo()
            proxy.cut()

    with running(cut) as first:
        wait_until(lambda: proxy.open, what="the consumer", timeout_s=TIMEOUT_S)
        quorum().declare()
        wait_until(lambda: quorum.consumers() == 1, what="the consumer", timeout_s=TIMEOUT_S)
        monkeypatch.setattr(Message, settled_by, settle)
        if settled_by == "ack":
            quorum(pill="HALT").halt()
            wait_for_end(first)
        else:
            with running(other) as second:
                wait_until(lambda: quorum.consumers() == 2, what="both to consume", timeout_s=TIMEOUT_S)
                quorum(pill="HALT").halt()
                wait_for_end([*first, *second])

    assert len(last) == 1
    assert quorum.ready() == 0


def test_pill_whose_connection_was_lost_while_it_was_sent_on_is_sent_on_once(quorum: Queues, proxy: Proxy) -> None:
    """A second one would end whoever starts next on the next queue, before any work."""

    class Cut(Upper):
        def when_last(self) -> None:
            proxy.cut()
            wait_until(lambda: quorum.ready() == 1, what="the broker to take the pill back", timeout_s=TIMEOUT_S)
            super().when_last()

    quorum(pill="HALT").halt()

    Cut("cut", "my_queue", "upper", url=through(proxy, quorum), queue_type="quorum").start()

    assert quorum.bodies("upper") == ["HALT"]
    assert quorum.ready() == 0


def test_consumer_that_has_lost_its_connection_waits_for_the_others_that_have_too(
    quorum: Queues, running: Callable[..., Any]
) -> None:
    """The first to be back after a restart of the broker finds nobody else; it is not the last one."""
    last: list[str] = []
    with (
        Proxy(int(quorum.url.rpartition(":")[2].partition("/")[0])) as one,
        Proxy(int(quorum.url.rpartition(":")[2].partition("/")[0])) as two,
    ):
        consumers = [
            noted(quorum(url=through(proxy, quorum), pill="HALT"), last, name)
            for proxy, name in ((one, "early"), (two, "late"))
        ]
        quorum().declare()
        with running(*consumers) as threads:
            wait_until(lambda: quorum.consumers() == 2, what="both to consume", timeout_s=TIMEOUT_S)
            two.refuse()
            two.cut()
            one.cut()
            wait_until(lambda: quorum.consumers() == 0, what="both to be gone", timeout_s=TIMEOUT_S)
            quorum(pill="HALT").halt()
            wait_until(lambda: quorum.consumers() == 1, what="one to be back", timeout_s=TIMEOUT_S)
            wait_until(lambda: quorum.ready() == 0, what="it to have the pill", timeout_s=TIMEOUT_S)
            two.admit()
            wait_for_end(threads)

    assert last == ["late"]
    assert quorum.ready() == 0


def test_consumers_that_were_launched_may_be_launched_again_after_one_failed(quorum: Queues) -> None:
    """None of them takes the stop of the first time for one of the second."""

    class Failing(Notes):
        def when_last(self) -> None:
            if not self.seen:
                self.seen.append("failed")
                raise FileNotFoundError("done.txt")

    quorum(pill="HALT").halt()
    consumers = Failing("failing", "my_queue", **quorum.options), Notes("other", "elsewhere", **quorum.options)
    with pytest.raises(FileNotFoundError):
        launch(*consumers)
    quorum("elsewhere", pill="HALT").halt()
    wait_until(lambda: quorum.ready() == 1, what="the pill", timeout_s=TIMEOUT_S)

    launch(*consumers)

    assert (quorum.ready(), quorum.ready("elsewhere")) == (0, 0)


def test_message_that_its_consumers_never_acknowledge_becomes_a_dead_letter_before_the_broker_drops_it(
    quorum: Queues,
) -> None:
    """RabbitMQ 4 drops what it has delivered twenty times from a queue without a dead-letter exchange."""
    quorum().publish("poison")
    for _ in range(15):
        for _message in quorum():
            break  # dies
        wait_until(lambda: quorum.ready() == 1, what="the broker to take it back", timeout_s=TIMEOUT_S)

    quorum().publish("good")
    for message in quorum():
        assert message.text == "good"
        message.ack()
        break

    (letter,) = quorum.letters()
    assert bytes(letter.body) == b"poison"
    reason = letter.properties["application_headers"]["x-proj-reason"]
    assert reason == "It came back 15 times without an acknowledgement; it may kill its consumers."


def test_acknowledgement_by_another_thread_is_written_soon(quorum: Queues) -> None:
    """With one message at a time, the next one comes when it is."""
    queue = quorum()
    for number in range(20):
        queue.publish(str(number))
    got: list[str] = []

    def handle(message: Message) -> None:
        got.append(message.text)
        threading.Timer(0.01, message.ack).start()
        if len(got) == 20:
            threading.Timer(0.1, queue.stop).start()

    queue.register(handle, acknowledge=False)
    begun = time.monotonic()
    queue.start()

    # A look five times a second would take four seconds.
    assert time.monotonic() - begun < 2.5
    assert got == [*map(str, range(20))]


@pytest.mark.parametrize("prefetch", [0, 4])
def test_pills_that_came_along_with_the_first_are_taken_away_with_it(queues: Queues, prefetch: int) -> None:
    """A consumer with a larger window holds them already; its next start would end at once by one of them."""
    queue = queues(pill="HALT", prefetch=prefetch)
    for text in ("first", "HALT", "HALT", "behind"):
        queue.publish(text)
    queue.register(lambda _: None)

    queue.start()

    wait_until(lambda: queues.ready() == 1, what="what was behind", timeout_s=TIMEOUT_S)
    assert queues.bodies() == ["behind"]
