"""The poison pill on a real RabbitMQ: one ends every consumer of a queue, and then those of the next."""

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
    """The exercise that the tutorials leave: what was before the pill is done.

    What is behind it stays; where there are several, those that did not get the pill yet may take some of it.
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


def test_pill_goes_down_the_pipeline_behind_all_output(queues: Queues) -> None:
    """The last worker of a stage hands it on, so one ends every consumer of every stage."""
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


def test_pill_that_comes_while_another_is_busy_waits_for_its_output(
    queues: Queues, running: Callable[..., Any]
) -> None:
    """Nothing is written behind the pill, and the idle one need not wait."""
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
    """Who follows the tutorials' first hint, and counts, needs to clear nothing away."""
    queue = queues(pill="HALT")
    for _ in range(2):
        queue.halt()

    launch(*(ToUpper(f"T{number}", "my_queue", "upper", **queues.options) for number in range(2)))

    assert queues.ready() == 0
    assert set(queues.bodies("upper")) == {"HALT"}


def test_pills_that_are_too_many_are_taken_away_with_the_last(queues: Queues) -> None:
    """Whoever starts next is not ended by what was meant for others, and what is behind them stays."""
    queue = queues(pill="HALT")
    for _ in range(3):
        queue.halt()
    queue.publish("behind")

    launch(Printer("P1", "my_queue", **queues.options))

    assert queues.bodies() == ["behind"]


def test_pill_that_waits_already_ends_no_consumer_before_the_others_are_there(
    quorum: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`launch` lets nobody begin before all consume; else the late one would wait for ever."""
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
    """It is acknowledged by nobody who has not handed it on."""
    queue = queues(pill="HALT")
    queue.halt()
    for message in queues():
        assert message.text == "HALT"
        break  # dies: it goes back unacknowledged

    printer = Printer("P1", "my_queue", **queues.options)
    with running(printer) as threads:
        wait_for_end(threads)

    assert queues.ready() == 0


def test_pill_that_was_delivered_often_is_renewed(quorum: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quorum queue drops what it has delivered too often."""
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
    assert renewed
    assert (quorum.ready(), quorum.letters()) == (0, [])


def quorum_consumers(queues: Queues) -> int:
    queues().declare()
    return queues.consumers()


def test_text_of_the_pill_is_work_for_who_has_none(quorum: Queues) -> None:
    """`pill=None`, the default of a queue alone."""
    queue = quorum()
    queue.publish("HALT")
    seen = []
    queue.register(lambda message: (seen.append(message.text), queue.stop()))

    queue.start()

    assert seen == ["HALT"]


def test_input_is_acknowledged_only_when_the_output_is_confirmed(quorum: Queues) -> None:
    """A worker that dies in between leaves its input, and the output is written again."""
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


def test_output_queue_with_another_type_ends_a_worker_before_it_takes_any_work(quorum: Queues) -> None:
    """And `launch` stops the others, and raises what ended the one."""
    quorum("upper", queue_type="classic").declare()
    queue = quorum()
    queue.publish("first")
    idle = Printer("P1", "elsewhere", **quorum.options)

    with pytest.raises(QueueMismatch, match="upper"):
        launch(idle, ToUpper("T1", "my_queue", "upper", **quorum.options))

    assert (quorum.bodies(), quorum.letters()) == (["first"], [])
