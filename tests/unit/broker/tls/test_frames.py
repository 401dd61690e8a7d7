"""The frame reader over TLS, on a pair of sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from proj.broker.frame_reader import TlsFrameReader
from proj.broker.tls.transport import TlsSocket
from tests.unit.broker.test_frame_reader import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Bytes of the largest record of TLS.
RECORD = 16_384


class Wire:
    """A reader, the broker's end of its socket, and the frames that were handled."""

    def __init__(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        self.far = far
        self.handled: list[bytes] = []
        self.later: list[Callable[[], None]] = []
        self.connection = SimpleNamespace(
            connected=True,
            transport=SimpleNamespace(sock=near, connected=True, _read_buffer=b""),
            on_inbound_frame=lambda found: self.handled.append(found[2]),
        )
        hub: Any = SimpleNamespace(call_soon=self.later.append)
        self.reader = TlsFrameReader(self.connection, hub)

    def turn(self) -> None:
        """What the loop does next, without looking at the socket."""
        later, self.later[:] = list(self.later), []
        for each in later:
            each()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ca = trustme.CA()
    of_server, of_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("localhost").configure_cert(of_server)
    ca.configure_trust(of_client)
    return of_server, of_client


@pytest.fixture
def wire(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Wire]:
    near, far = socket.socketpair()
    of_server, of_client = contexts
    made: list[ssl.SSLSocket] = []
    accepting = threading.Thread(target=lambda: made.append(of_server.wrap_socket(far, server_side=True)))
    accepting.start()
    with of_client.wrap_socket(near, server_hostname="localhost") as secured:
        accepting.join()
        secured.settimeout(5)
        with made[0]:
            yield Wire(secured, made[0])


def test_frames_behind_an_answer_are_handled_without_another_byte(wire: Wire) -> None:
    """They are in the same record, so the socket has nothing to read any more."""
    wire.far.sendall(frame(b"answer") + frame(b"next") + frame(b"last"))

    assert wire.reader.read_frame() == (1, 1, b"answer")
    wire.turn()
    assert wire.handled == [b"next", b"last"]


def test_loop_does_not_wait_for_the_rest_of_a_frame(wire: Wire) -> None:
    """A broker that is frozen in the middle of one must not stop the worker."""
    whole = frame(b"x" * 3 * RECORD)
    wire.far.sendall(whole[:RECORD])
    wire.reader.on_readable()
    wire.reader.on_readable()
    assert wire.handled == []
    assert wire.connection.transport.sock.gettimeout() == 5

    rest = memoryview(whole)[RECORD:]
    sending = threading.Thread(target=wire.far.sendall, args=(rest,))
    sending.start()
    while not wire.handled:
        wire.reader.on_readable()
    sending.join()
    assert wire.handled == [b"x" * 3 * RECORD]


def test_waiting_ends_with_the_timeout_of_the_socket(wire: Wire) -> None:
    """With the error that py-amqp expects, also for no time at all."""
    for timeout_s in (0, 0.01):
        wire.connection.transport.sock.settimeout(timeout_s)
        with pytest.raises(TimeoutError):
            wire.reader.read_frame()


def test_what_py_amqp_had_read_comes_first(wire: Wire) -> None:
    """Bytes of a frame that it began to read."""
    begun = frame(b"begun")
    vars(wire.connection.transport)["_read_buffer"] = begun[:3]
    hub: Any = SimpleNamespace(call_soon=wire.later.append)
    reader = TlsFrameReader(wire.connection, hub)
    wire.far.sendall(begun[3:])
    assert reader.read_frame()[2] == b"begun"


def test_closing_does_not_wait_for_the_other_side(wire: Wire) -> None:
    """A frozen broker never says that it ends too."""
    transport = TlsSocket("localhost:5671", ssl={})
    transport.sock = wire.connection.transport.sock
    transport.sock.settimeout(60)
    transport.connected = True
    wire.far.sendall(frame(b"unread"))

    transport.close()

    assert transport.sock is None
