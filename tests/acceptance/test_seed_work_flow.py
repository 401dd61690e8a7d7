"""The tutorials' statements about scaling a work flow, with our `Consumer` and `Worker` in threads.

That they print what the tutorials print, in turn, and end by one pill is tested with the programs in `examples`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from proj.messaging import Consumer, MessageQueue, Worker, launch

if TYPE_CHECKING:
    from proj.lab.broker import Broker

WORDS = [f"word {number}" for number in range(14)]
FIRST = "T1"
#: Seconds in which a stage must get what it can work on.
TIMEOUT_S = 60


class Flow:
    """Both stages, and a clock that ticks once each stage is at work on all that it can work on."""

    def __init__(self, printers: int) -> None:
        """Nothing is done yet."""
        self.printers = printers
        #: Words that have left the first stage, and the second.
        self.written = self.printed = 0
        #: Words between the stages, waiting or at a printer, when the first stage begins its last one.
        self.backlog = 0
        self.ended = False
        self._now = 0
        #: When each of those that are at work ends, by name.
        self._ends: dict[str, int] = {}
        self._changed = threading.Condition()

    def work(self, name: str, *, ticks: int) -> None:
        """Return after so many ticks.

        Raises:
            TimeoutError: somebody else did not get what it could work on.
        """
        with self._changed:
            end = self._ends[name] = self._now + ticks
            self._tick()
            if not self._changed.wait_for(lambda: self._now >= end, TIMEOUT_S):
                raise TimeoutError(f"At tick {self._now} only {sorted(self._ends)} are at work.")

    def count_written(self) -> None:
        """The first stage has written a word."""
        with self._changed:
            self.written += 1
            self._tick()

    def _tick(self) -> None:
        while self._ends and self._all_are_at_work():
            self._now += 1
            ended = {name for name, end in self._ends.items() if end == self._now}
            self._ends = {name: end for name, end in self._ends.items() if name not in ended}
            self.printed += len(ended - {FIRST})
            self._changed.notify_all()

    def _all_are_at_work(self) -> bool:
        first_is = FIRST in self._ends or self.written == len(WORDS)
        return first_is and len(self._ends.keys() - {FIRST}) == min(self.printers, self.written - self.printed)


class ToUpper(Worker):
    """The tutorial's first stage."""

    flow: Flow

    def work(self, message: str) -> None:
        if message == WORDS[-1]:
            self.flow.backlog = self.flow.written - self.flow.printed
        self.flow.work(self.name, ticks=1)
        self.write(message.upper())
        self.flow.count_written()


class Printer(Consumer):
    """The tutorial's second stage, which takes twice as long."""

    flow: Flow

    def work(self, message: str) -> None:
        assert message.isupper()
        self.flow.work(self.name, ticks=2)


def play(broker: Broker, flow: Flow) -> None:
    """Fill the first queue, with the pill, and then run the stages until they end."""
    vhost = f"flow-{flow.printers}"
    url = broker.add_vhost(vhost)
    with MessageQueue("my_queue", url) as queue:
        for word in (*WORDS, "HALT"):
            queue.publish(word)
    stages: list[ToUpper | Printer] = [Printer(f"P{n + 1}", "upper", url) for n in range(flow.printers)]
    stages.append(ToUpper(FIRST, "my_queue", "upper", url))
    for stage in stages:
        stage.flow = flow
    launch(*stages)
    flow.ended = True
    broker.remove_vhost(vhost)


@pytest.fixture(scope="module")
def flows(broker: Broker) -> dict[int, Flow]:
    """The work flow with one printer and with two, both at the same time."""
    flows = {printers: Flow(printers) for printers in (1, 2)}
    plays = [threading.Thread(target=play, args=(broker, flow), daemon=True) for flow in flows.values()]
    for thread in plays:
        thread.start()
    for thread in plays:
        thread.join(TIMEOUT_S)
    assert [(flow.printed, flow.ended) for flow in flows.values()] == [(len(WORDS), True)] * 2
    return flows


def test_one_printer_falls_behind_a_first_stage_that_is_twice_as_fast(flows: dict[int, Flow]) -> None:
    """Half of the words wait between the stages when the first stage has its last word."""
    assert flows[1].backlog == 7


def test_two_printers_keep_up_with_a_first_stage_that_is_twice_as_fast(flows: dict[int, Flow]) -> None:
    """Only the words in work are between the stages."""
    assert flows[2].backlog == 2
