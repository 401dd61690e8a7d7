"""The poison pill when the broker, the network or the next queue fails."""

from __future__ import annotations

import statistics
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from proj.errors import QueueFull
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.messaging import Consumer, Message, Worker, launch
from proj.messaging.message_queue import TICK_S
from proj.messaging.subscription import Subscription
from tests.integration.messaging.conftest import TIMEOUT_S, through, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker
    from tests.integration.messaging.conftest import Queues


class Upper(Worker):
    """Writes its input in capital letters."""

    def work(self, message: str) -> None:
        self.write(message.upper())


class Notes(Consumer):
    """Records its messages."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.seen: list[str] = []

    def work(self, message: str) -> None:
        self.seen.append(message)


def noted(queue: Any, times: list[str], name: str) -> Any:
    """The queue with a handler that does nothing; `times` gets the name of the consumer that ended last."""
    queue.register(lambda _: None, when_last=lambda: times.append(name))
    return queue


def test_pill_waits_until_the_broker_says_how_many_consumers_there_are(
    quorum: Queues, broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ reports a queue with a slow leader as one without consumers; that must not end a stage too early."""
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


def test_when_last_is_tried_until_it_succeeds(quorum: Queues, caplog: pytest.LogCaptureFixture) -> None:
    """While the next queue is full, the consumer keeps the pill, which is delivered once."""
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


def test_consumer_that_waits_with_its_pill_can_be_stopped_and_requeues_it(quorum: Queues) -> None:
    """The next consumer that starts gets the pill."""
    queue = quorum(pill="HALT")
    queue.halt()

    def follow() -> None:
        queue.stop()
        raise QueueFull("There is no room in the queue.")

    queue.register(lambda _: None, when_last=follow)
    queue.start()

    wait_until(lambda: quorum.ready() == 1, what="the pill", timeout_s=TIMEOUT_S)


def test_error_of_when_last_ends_the_consumer_and_requeues_the_pill(queues: Queues) -> None:
    """An OSError of `when_last` is not taken for a lost connection."""
    queue = queues(pill="HALT")
    queue.halt()

    def follow() -> None:
        raise FileNotFoundError("done.txt")

    queue.register(lambda _: None, when_last=follow)
    with pytest.raises(FileNotFoundError, match=r"done\.txt"):
        queue.start()

    wait_until(lambda: queues.ready() == 1, what="the pill", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("settled_by", ["give_back", "ack"])
def test_connection_lost_after_the_pill_does_not_bring_the_consumer_back(
    quorum: Queues, proxy: Proxy, running: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, settled_by: str
) -> None:
    """The consumer has handed the pill on or was the last, so another pill would never come."""
    last: list[str] = []
    cut = noted(quorum(url=through(proxy, quorum), pill="HALT"), last, "cut")
    other = noted(quorum(pill="HALT"), last, "other")
    stock = getattr(Message, settled_by)

    def settle(self: Message) -> None:
        stock(self)
        if threading.current_thread() is first[0]:
            monkeypatch.undo()
            # The broker answers this after it has read the settlement, which would otherwise be cut off now and then.
            self._settlement.count()
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


def test_pill_whose_connection_is_lost_in_when_last_goes_to_the_next_queue_once(quorum: Queues, proxy: Proxy) -> None:
    """A second pill would end the next consumer of the next queue before it has worked."""

    class Cut(Upper):
        def when_last(self) -> None:
            proxy.cut()
            wait_until(lambda: quorum.ready() == 1, what="the broker to take the pill back", timeout_s=TIMEOUT_S)
            super().when_last()

    quorum(pill="HALT").halt()

    Cut("cut", "my_queue", "upper", url=through(proxy, quorum), queue_type="quorum").start()

    assert quorum.bodies("upper") == ["HALT"]
    assert quorum.ready() == 0


def test_consumer_that_lost_its_connection_waits_for_the_others(quorum: Queues, running: Callable[..., Any]) -> None:
    """The first consumer after a restart of the broker finds no other, but it is not the last one."""
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
            for proxy in (one, two):
                proxy.refuse()
                proxy.cut()
            wait_until(lambda: quorum.consumers() == 0, what="both to be gone", timeout_s=TIMEOUT_S)
            quorum(pill="HALT").halt()
            one.admit()
            wait_until(lambda: quorum.consumers() == 1, what="one to be back", timeout_s=TIMEOUT_S)
            wait_until(lambda: quorum.ready() == 0, what="it to have the pill", timeout_s=TIMEOUT_S)
            two.admit()
            wait_for_end(threads)

    assert last == ["late"]
    assert quorum.ready() == 0


def test_consumers_can_be_launched_again_after_one_failed(quorum: Queues) -> None:
    """The stop of the first launch does not end the second."""

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


def test_message_that_is_never_acknowledged_is_dead_lettered_before_the_broker_drops_it(
    quorum: Queues,
) -> None:
    """RabbitMQ 4 drops a message after twenty deliveries when its queue has no dead-letter exchange."""
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
    """With a prefetch count of one, the next message comes only after the acknowledgement."""
    queue = quorum()
    for number in range(60):
        queue.publish(str(number))
    got: list[str] = []
    came_at: list[float] = []

    def handle(message: Message) -> None:
        got.append(message.text)
        came_at.append(time.monotonic())
        threading.Timer(0.01, message.ack).start()
        if len(got) == 60:
            threading.Timer(0.1, queue.stop).start()

    queue.register(handle, acknowledge=False)
    queue.start()

    # It is the time between two turns where nothing wakes the loop.
    assert statistics.median(after - before for before, after in pairwise(came_at)) < 0.75 * TICK_S
    assert got == [*map(str, range(60))]


@pytest.mark.parametrize("prefetch", [0, 4])
def test_prefetched_pills_are_removed_with_the_first(queues: Queues, prefetch: int) -> None:
    """With a larger prefetch count the consumer holds them already; they must not end its next start."""
    queue = queues(pill="HALT", prefetch=prefetch)
    for text in ("first", "HALT", "HALT", "behind"):
        queue.publish(text)
    queue.register(lambda _: None)

    queue.start()

    wait_until(lambda: queues.ready() == 1, what="what was behind", timeout_s=TIMEOUT_S)
    assert queues.bodies() == ["behind"]
