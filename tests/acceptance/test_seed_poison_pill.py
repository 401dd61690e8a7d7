"""The tutorials' statements about poison pills, tested on RabbitMQ with plain clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tutorial_shell import Shell

PILL = "HALT"
QUEUE = "upper"


class Printer:
    """The tutorial's consumer: it prints and acknowledges each message, and stops at the pill without printing it."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.tag = shell.consume(QUEUE, prefetch=1)
        self.seen = 0
        self.halted = False

    def run(self) -> list[str]:
        """Work on all waiting messages; return what it has printed so far."""
        while not self.halted and len(self.shell.look(QUEUE)) > self.seen:
            delivery = self.shell.received[self.seen]
            self.seen += 1
            if delivery.body == PILL:
                self.halted = True
                self.shell.channel.basic_cancel(self.tag)
            self.shell.acknowledge(delivery)
        return [body for body in self.shell.bodies[: self.seen] if body != PILL]


def run_to_the_end(printers: list[Printer]) -> None:
    """Run the consumers in turn until each has stopped."""

    def all_halted() -> bool:
        for printer in printers:
            printer.run()
        return all(printer.halted for printer in printers)

    wait_until(all_halted, what="all printers to halt", timeout_s=60)


@pytest.fixture
def producer(shell: Callable[[], Shell]) -> Shell:
    """A program that publishes."""
    producer = shell()
    producer.declare(QUEUE)
    return producer


def test_pill_that_was_queued_behind_the_messages_ends_the_consumer_after_them(
    producer: Shell, shell: Callable[[], Shell]
) -> None:
    """It waits in the queue like the messages before it, and nothing is left."""
    producer.publish("Hello", "world", PILL, queue=QUEUE)
    printer = Printer(shell())

    assert printer.run() == ["Hello", "world"]
    assert printer.halted
    assert producer.ready(QUEUE) == 0


def test_only_one_of_several_consumers_receives_the_pill(producer: Shell, shell: Callable[[], Shell]) -> None:
    """The other consumer goes on and waits for ever."""
    first, second = Printer(shell()), Printer(shell())

    producer.publish(PILL, queue=QUEUE)
    for printer in (first, second):
        printer.run()

    assert sorted([first.halted, second.halted]) == [False, True]
    assert producer.ready(QUEUE) == 0


def test_second_pill_ends_the_consumer_that_waits(producer: Shell, shell: Callable[[], Shell]) -> None:
    """The tutorial's first remedy."""
    first, second = Printer(shell()), Printer(shell())
    for _ in range(2):
        producer.publish(PILL, queue=QUEUE)
        for printer in (first, second):
            printer.run()

    assert (first.halted, second.halted) == (True, True)


def test_as_many_pills_as_consumers_end_them_all(producer: Shell, shell: Callable[[], Shell]) -> None:
    """The first of the tutorial's two ways, if each consumer stops at its first pill and holds no other."""
    printers = [Printer(shell()) for _ in range(3)]

    producer.publish("work", *[PILL] * 3, queue=QUEUE)
    run_to_the_end(printers)

    assert producer.ready(QUEUE) == 0


def test_surplus_pill_ends_the_next_consumer(producer: Shell, shell: Callable[[], Shell]) -> None:
    """The risk of counting pills: the pill of a consumer that had died ends another one."""
    gone = Printer(shell())
    gone.shell.close()
    producer.publish(PILL, "work", queue=QUEUE)

    newcomer = Printer(shell())

    assert newcomer.run() == []
    assert newcomer.halted


def test_broadcast_pill_reaches_every_consumer(producer: Shell, shell: Callable[[], Shell]) -> None:
    """The second way: each consumer has its own queue, and one message is delivered to all of them."""
    producer.channel.exchange_declare("control", "fanout")
    consumers = [shell() for _ in range(3)]
    for consumer in consumers:
        own = consumer.channel.queue_declare("", exclusive=True).method.queue
        consumer.channel.queue_bind(own, "control")
        consumer.consume(own, auto_ack=True)

    producer.channel.basic_publish("control", "", PILL.encode())

    assert [consumer.wait_for(1) for consumer in consumers] == [[PILL]] * 3
