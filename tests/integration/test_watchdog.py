"""The watchdog over threads that wait for a broker that never answers."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import amqp
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from proj.broker.frame_reader import FrameReader
from proj.delivery.install import install
from proj.delivery.recovery.watchdog import EXIT_STUCK, Watchdog
from proj.lab.processes.ports import LOOPBACK
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

LIMIT_S = 0.6


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and sends nothing, like one behind a frozen link."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


class Watched(threading.Thread):
    """A thread that works under a watchdog, with the error and the exit codes that came of it."""

    def __init__(self, work: Callable[[], object], *, is_own: bool = True) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.exits: list[int] = []
        self.ended = threading.Event()
        self.watchdog = Watchdog(LIMIT_S, ended=self.ended, end=self.exits.append if is_own else None)
        self._work = work

    def run(self) -> None:
        self.watchdog.start()
        try:
            self._work()
        except OSError as error:
            self.error = error
        finally:
            self.ended.set()


def test_watchdog_ends_a_handshake_that_the_server_does_not_answer(silent_server: int) -> None:
    """Without a read timeout py-amqp waits for ever; the watchdog makes that an error on which Celery reconnects."""
    connection = amqp.Connection(f"{LOOPBACK}:{silent_server}", connect_timeout=5)
    thread = Watched(connection.connect)

    thread.start()
    thread.join(timeout=60)

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
    thread.join(timeout=60)
    transport.close()

    assert not thread.is_alive()
    assert isinstance(thread.error, OSError)
    assert thread.exits == []


def stuck_transport(port: int, released: threading.Event) -> Any:
    """A connection whose reads end when that is set, and not when it is closed."""

    def stay(_: int) -> bytes:
        released.wait(20)
        return b""

    connection = amqp.Connection(f"{LOOPBACK}:{port}", connect_timeout=5)
    transport = connection.Transport(connection.host, 5)
    transport.connect()
    vars(transport)["_quick_recv"] = stay
    return transport


def test_watchdog_ends_the_process_when_closing_the_connection_does_not_help(silent_server: int) -> None:
    """It would wait for ever; a supervisor starts it again."""
    released = threading.Event()
    transport = stuck_transport(silent_server, released)
    thread = Watched(transport.read_frame)

    thread.start()
    wait_until(lambda: thread.exits, what="the end", timeout_s=60)
    released.set()
    thread.join(timeout=60)
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
    thread.join(timeout=60)
    transport.close()

    assert thread.error is None
    assert thread.exits == []


def test_watchdog_does_not_end_a_process_that_is_not_its_own(
    silent_server: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker in a thread of another program, or of a test, is told of in the log, once."""
    released = threading.Event()
    transport = stuck_transport(silent_server, released)
    thread = Watched(transport.read_frame, is_own=False)

    thread.start()
    wait_until(lambda: left(caplog), what="the report", timeout_s=60)
    released.wait(2 * LIMIT_S)
    released.set()
    thread.join(timeout=60)
    transport.close()

    assert left(caplog) == 1
    assert thread.exits == []


def left(caplog: pytest.LogCaptureFixture) -> int:
    return sum(getattr(record, "action", None) == "stuck_worker_left" for record in caplog.records)


def test_watchdog_ends_with_the_thread_that_it_watches() -> None:
    """A worker may end in a way that nobody notes, and the next thread may have its thread's id."""
    before = watchdogs()
    thread = threading.Thread(target=Watchdog(LIMIT_S, ended=threading.Event()).start)

    thread.start()
    thread.join(timeout=60)

    wait_until(lambda: watchdogs() <= before, what="the end of the watchdog", timeout_s=60)


def test_watchdog_of_a_worker_in_a_thread_ends_with_it(broker: Broker, vhost: str) -> None:
    """As `celery.contrib.testing.worker.start_worker` starts it, in the process of someone's tests."""
    app = Celery("embedded", broker=broker.url(vhost), broker_heartbeat=600, task_default_queue=vhost)
    install(app)
    before = watchdogs()

    with start_worker(app, perform_ping_check=False):
        (watchdog,) = watchdogs() - before

    watchdog.join(timeout=60)
    assert not watchdog.is_alive()


def watchdogs() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "watchdog"}
