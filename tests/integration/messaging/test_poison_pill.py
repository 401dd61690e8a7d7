"""The poison pill on a real RabbitMQ: one pill ends every consumer of a queue, and then those of the next queue."""

from __future__ import annotations

import threading
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from proj.errors import QueueMismatch
from proj.lab.processes.waiting import wait_until
from proj.messaging import Consumer, MessageQueue, Worker, launch, poison_pill
from proj.messaging.subscription import Subscription
from tests.integration.messaging.conftest import TIMEOUT_S, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker
    from tests.integration.messaging.conftest import Queues


class ToUpper(Worker):
    """The tutorials' first stage."""

    def work(self, message: str) -> None:
        self.write(message.upper())


class Printer(Consumer):
    """The tutorials' second stage."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.seen: list[str] = []

    def work(self, message: str) -> None:
        self.seen.append(message)


@pytest.mark.parametrize("count", [1, 3])
def test_one_pill_ends_any_number_of_consumers_behind_all_earlier_work(queues: Queues, count: int) -> None:
    """Messages before the pill are worked on, and messages behind it stay in the queue.

    With several consumers, those that have not had the pill yet may take some of the messages behind it.
    """
    queue = queues(pill="HALT")
    for number in range(12):
        queue.publish(str(number))
    queue.halt()
    if count == 1:
        queue.publish("behind")
    printers = [Printer(f"P{number}", "my_queue", **queues.options) for number in range(count)]

    launch(*printers)

    assert sorted(chain.from_iterable(printer.seen for printer in printers), key=int) == [*map(str, range(12))]
    assert queues.bodies() == (["behind"] if count == 1 else [])


def test_pill_goes_to_the_next_queue_behind_all_output(queues: Queues) -> None:
    """The last worker of a stage publishes it, so one pill ends every consumer of every stage."""
    queue = queues(pill="HALT")
    for number in range(12):
        queue.publish(f"n{number}")
    queue.halt()
    workers = [ToUpper(f"T{number}", "my_queue", "upper", **queues.options) for number in range(2)]
    printers = [Printer(f"P{number}", "upper", **queues.options) for number in range(3)]

    launch(*workers, *printers)

    assert sorted(chain.from_iterable(printer.seen for printer in printers)) == sorted(
        f"N{number}" for number in range(12)
    )
    assert (queues.ready("my_queue"), queues.ready("upper"), queues.letters()) == (0, 0, [])


def test_pill_waits_for_the_output_of_a_busy_worker(queues: Queues, running: Callable[..., Any]) -> None:
    """No output is written behind the pill, and the idle worker ends at once."""
    begun, done = threading.Event(), threading.Event()

    class Slow(ToUpper):
        def work(self, message: str) -> None:
            begun.set()
            done.wait(TIMEOUT_S)
            super().work(message)

    queue = queues(pill="HALT")
    busy, idle = (Slow(name, "my_queue", "upper", **queues.options) for name in ("busy", "idle"))
    with running(busy) as (busy_thread,):
        queue.publish("long")
        assert begun.wait(TIMEOUT_S)
        with running(idle) as threads:
            wait_until(lambda: queues.consumers() == 2, what="both to consume", timeout_s=TIMEOUT_S)
            queue.halt()
            wait_for_end(threads)
            assert queues.ready("upper") == 0
            done.set()
            wait_for_end([busy_thread])

    assert queues.bodies("upper") == ["LONG", "HALT"]
    assert queues.ready() == 0


def test_pill_for_each_consumer_leaves_none_in_the_queue(queues: Queues) -> None:
    """As many pills as consumers, as the tutorials suggest first, leave nothing behind."""
    queue = queues(pill="HALT")
    for _ in range(2):
        queue.halt()

    launch(*(ToUpper(f"T{number}", "my_queue", "upper", **queues.options) for number in range(2)))

    assert queues.ready() == 0
    assert set(queues.bodies("upper")) == {"HALT"}


def test_surplus_pills_are_removed_with_the_last(queues: Queues) -> None:
    """The next consumer is not ended by an old pill, and messages behind the pills stay."""
    queue = queues(pill="HALT")
    for _ in range(3):
        queue.halt()
    queue.publish("behind")

    launch(Printer("P1", "my_queue", **queues.options))

    assert queues.bodies() == ["behind"]


def test_waiting_pill_ends_no_consumer_before_all_consume(quorum: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    """`launch` lets no consumer work before all consume; otherwise the late one would wait for ever."""
    early_consumes = threading.Event()
    stock = Subscription.open

    def open_late(self: Subscription, **how: bool) -> None:
        if threading.current_thread().name == "late":
            assert early_consumes.wait(TIMEOUT_S)
            assert not threading.Event().wait(0.3)
        stock(self, **how)
        early_consumes.set()

    monkeypatch.setattr(Subscription, "open", open_late)
    quorum(pill="HALT").halt()

    launch(*(Printer(name, "my_queue", **quorum.options) for name in ("early", "late")))

    assert quorum.ready() == 0


def test_pill_whose_consumer_dies_goes_to_another(queues: Queues, running: Callable[..., Any]) -> None:
    """A consumer acknowledges the pill only after it has handed it on."""
    queue = queues(pill="HALT")
    queue.halt()
    for message in queues():
        assert message.text == "HALT"
        break  # dies: it goes back unacknowledged

    printer = Printer("P1", "my_queue", **queues.options)
    with running(printer) as threads:
        wait_for_end(threads)

    assert queues.ready() == 0


def test_pill_that_was_redelivered_often_is_renewed(
    broker: Broker, quorum: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quorum queue drops a message that it has delivered too often, unless it does not count what is given back."""
    monkeypatch.setattr(poison_pill, "RENEW_AFTER", 1)
    queue = quorum(pill="HALT")
    renewed: list[int] = []
    stock = MessageQueue.halt
    monkeypatch.setattr(MessageQueue, "halt", lambda self: (renewed.append(1), stock(self)))
    printers = [Printer(f"P{number}", "my_queue", **quorum.options) for number in range(5)]
    begun = threading.Thread(target=launch, args=printers)
    begun.start()
    wait_until(lambda: len(printers) == quorum_consumers(quorum), what="all to consume", timeout_s=TIMEOUT_S)

    stock(queue)
    begun.join(TIMEOUT_S)

    assert not begun.is_alive()
    assert bool(renewed) is broker.version.counts_nacks
    assert (quorum.ready(), quorum.letters()) == (0, [])


def quorum_consumers(queues: Queues) -> int:
    queues().declare()
    return queues.consumers()


def test_text_of_the_pill_is_work_for_a_queue_without_a_pill(quorum: Queues) -> None:
    """`pill=None` is the default of a `MessageQueue`."""
    queue = quorum()
    queue.publish("HALT")
    seen = []
    queue.register(lambda message: (seen.append(message.text), queue.stop()))

    queue.start()

    assert seen == ["HALT"]


def test_input_is_acknowledged_only_when_the_output_is_confirmed(quorum: Queues) -> None:
    """A worker that dies between the two leaves its input in the queue."""
    queue = quorum()
    queue.publish("first")

    class Dying(ToUpper):
        def work(self, message: str) -> None:
            super().work(message)
            assert quorum.bodies("upper") == ["FIRST"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Dying("T1", "my_queue", "upper", **quorum.options).start()

    assert quorum.bodies() == ["first"]


def test_output_queue_with_another_type_ends_a_worker_before_it_works(quorum: Queues) -> None:
    """`launch` stops the other consumers and raises the error."""
    quorum("upper", queue_type="classic").declare()
    queue = quorum()
    queue.publish("first")
    idle = Printer("P1", "elsewhere", **quorum.options)

    with pytest.raises(QueueMismatch, match="upper"):
        launch(idle, ToUpper("T1", "my_queue", "upper", **quorum.options))

    assert (quorum.bodies(), quorum.letters()) == (["first"], [])
