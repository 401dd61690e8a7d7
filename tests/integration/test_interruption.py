"""A signal that comes in the middle of a conversation with the broker."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.commands.terminal.interrupt import Interrupted, interruptible
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

#: Where bytes of the broker are read and written.
TRANSPORT = "amqp/transport.py"
#: Every so many lines of it a signal is tried.
STRIDE = 7
#: Seconds until a command must have ended. One whose connection lost half a frame ended after 30 s, when RabbitMQ gave
#: up the connection.
END_TIMEOUT_S = 10.0


class Moments:
    """Counts the lines of `TRANSPORT` that run, and sends the signal at one of them."""

    def __init__(self, moment: int | None) -> None:
        self.count = 0
        self._moment = moment

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.endswith(TRANSPORT):
            return None
        if event == "line":
            self.count += 1
            if self.count == self._moment:
                signal.raise_signal(signal.SIGINT)
        return self


@contextmanager
def signal_at(moment: int | None) -> Iterator[Moments]:
    """Send a signal at the n-th line of `TRANSPORT` that the block runs; None for never."""
    earlier, moments = sys.gettrace(), Moments(moment)
    sys.settrace(moments)
    try:
        yield moments
    finally:
        sys.settrace(earlier)


def talk(url: str, moment: int | None = None) -> int:
    """Connect, ask for a queue once, and leave; the lines of `TRANSPORT` that this takes."""
    app = Celery(set_as_current=False)
    app.conf.broker_transport_options = {"read_timeout": 1, "write_timeout": 1}
    with signal_at(moment) as moments, connected(app.connection_for_read(url)) as connection:
        wait_until(lambda: depths_by_declare(connection, ["dead_letters"]), what="the queue's depth", timeout_s=60)
    return moments.count


def test_signal_at_any_moment_of_a_conversation_with_the_broker_ends_the_command(broker: Broker, vhost: str) -> None:
    """Interrupted between the two halves of a frame, py-amqp would wait for the rest of it for ever."""
    url = broker.url(vhost)
    lines = talk(url)

    for moment in range(1, lines, STRIDE):
        began = time.monotonic()
        with pytest.raises(Interrupted), interruptible("The command has ended."):
            talk(url, moment)

        assert time.monotonic() - began < END_TIMEOUT_S
