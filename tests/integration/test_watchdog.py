"""The watchdog over threads that wait for a broker that never answers."""

from __future__ import annotations

import inspect
import socket
import threading
from typing import TYPE_CHECKING

import amqp
import pytest

from proj.broker.frame_reader import FrameReader
from proj.delivery.recovery.watchdog import EXIT_STUCK, CallTimer, TransportCall, Watchdog, transport_call
from proj.lab.processes.ports import LOOPBACK
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 0.6


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and sends nothing, like one behind a frozen link."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


class Watched(threading.Thread):
    """A thread that works under a watchdog, with the error and the exit codes that came of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.exits: list[int] = []
        self.watchdog = Watchdog(LIMIT_S, end=self.exits.append)
        self._work = work

    def run(self) -> None:
        self.watchdog.start()
        try:
            self._work()
        except OSError as error:
            self.error = error
        finally:
            self.watchdog.stop()


def test_watchdog_ends_a_handshake_that_the_server_does_not_answer(silent_server: int) -> None:
    """Without a read timeout py-amqp waits for ever; the watchdog makes that an error on which Celery reconnects."""
    connection = amqp.Connection(f"{LOOPBACK}:{silent_server}", connect_timeout=5)
    thread = Watched(connection.connect)

    thread.start()
    thread.join(timeout=20)

    assert not thread.is_alive()
    assert isinstance(thread.error, connection.recoverable_connection_errors)
    assert thread.exits == []


def test_watchdog_ends_a_wait_of_the_connection_that_a_worker_consumes_from(silent_server: int) -> None:
    """That one is read by a reader of ours."""
    connection = amqp.Connection(f"{LOOPBACK}:{silent_server}", connect_timeout=5)
    transport = connection.Transport(connection.host, 5)
    transport.connect()
    vars(connection)["_transport"] = transport
    thread = Watched(FrameReader(connection, hub=None).read_frame)

    thread.start()
    thread.join(timeout=20)
    transport.close()

    assert not thread.is_alive()
    assert isinstance(thread.error, OSError)
    assert thread.exits == []


def test_watchdog_ends_the_process_when_closing_the_connection_does_not_help(silent_server: int) -> None:
    """It would wait for ever; a supervisor starts it again."""
    released = threading.Event()

    def stay(_: int) -> bytes:
        released.wait(20)
        return b""

    connection = amqp.Connection(f"{LOOPBACK}:{silent_server}", connect_timeout=5)
    transport = connection.Transport(connection.host, 5)
    transport.connect()
    vars(transport)["_quick_recv"] = stay
    thread = Watched(transport.read_frame)

    thread.start()
    wait_until(lambda: thread.exits, what="the end", timeout_s=10)
    released.set()
    thread.join(timeout=10)
    transport.close()

    assert thread.exits == [EXIT_STUCK]


def test_watchdog_does_not_touch_a_thread_that_waits_in_new_calls(silent_server: int) -> None:
    """An idle worker waits again and again for a broker that has nothing to send."""
    connection = amqp.Connection(f"{LOOPBACK}:{silent_server}", connect_timeout=5)
    transport = connection.Transport(connection.host, 5, read_timeout=0.1)
    transport.connect()
    waits = []

    def wait() -> None:
        while len(waits) < int(4 * LIMIT_S / 0.1):
            with pytest.raises(TimeoutError):
                transport.read_frame()
            waits.append(1)

    thread = Watched(wait)
    thread.start()
    thread.join(timeout=20)
    transport.close()

    assert thread.error is None
    assert thread.exits == []


def test_call_that_has_read_more_bytes_counts_as_another() -> None:
    """A large message over a slow line makes progress."""
    timer = CallTimer()
    frame = inspect.currentframe()

    assert frame is not None
    assert transport_call(frame) is None
    assert timer.seconds(TransportCall(frame, 1, 10, None), 0.0) == 0.0
    assert timer.seconds(TransportCall(frame, 1, 10, None), 5.0) == 5.0
    assert timer.seconds(TransportCall(frame, 1, 20, None), 6.0) == 0.0
    assert timer.seconds(None, 7.0) == 0.0
