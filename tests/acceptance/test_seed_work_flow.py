"""The tutorials' statements about scaling a work flow, with our `Consumer` and `Worker` in threads.

That they print what the tutorials print, in turn, and end by one pill is tested with the programs in `examples`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proj.messaging import Consumer, MessageQueue, Worker, launch

if TYPE_CHECKING:
    from proj.lab.broker import Broker

WORDS = [f"word {number}" for number in range(14)]
#: Seconds that a word takes in the first stage; in the second it takes twice as long.
WORD_S = 0.2


@dataclass
class Flow:
    """The output of both stages."""

    printers: int
    printed: int = 0
    #: Words between the stages, waiting or at a printer, when the first stage is at its last one.
    backlog: int = 0
    ended: bool = False


class ToUpper(Worker):
    """The tutorial's first stage."""

    flow: Flow

    def work(self, message: str) -> None:
        time.sleep(WORD_S)  # the work itself, as in the tutorial
        if message == WORDS[-1]:
            self.flow.backlog = len(WORDS) - 1 - self.flow.printed
        self.write(message.upper())


class Printer(Consumer):
    """The tutorial's second stage."""

    flow: Flow

    def work(self, message: str) -> None:
        assert message.isupper()
        time.sleep(2 * WORD_S)  # the work itself, twice as long
        self.flow.printed += 1


def play(broker: Broker, flow: Flow) -> None:
    """Fill the first queue, with the pill, and then run the stages until they end."""
    vhost = f"flow-{flow.printers}"
    url = broker.add_vhost(vhost)
    with MessageQueue("my_queue", url) as queue:
        for word in (*WORDS, "HALT"):
            queue.publish(word)
    stages: list[ToUpper | Printer] = [Printer(f"P{n + 1}", "upper", url) for n in range(flow.printers)]
    stages.append(ToUpper("T1", "my_queue", "upper", url))
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
        thread.join(60)
    assert [(flow.printed, flow.ended) for flow in flows.values()] == [(len(WORDS), True)] * 2
    return flows


def test_one_printer_falls_behind_a_first_stage_that_is_twice_as_fast(flows: dict[int, Flow]) -> None:
    """Half of the words wait between the stages when the first stage has its last word."""
    assert flows[1].backlog >= 4


def test_two_printers_keep_up_with_a_first_stage_that_is_twice_as_fast(flows: dict[int, Flow]) -> None:
    """Only the words in work are between the stages."""
    assert flows[2].backlog <= 3
