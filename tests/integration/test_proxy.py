"""The proxy of a drill, with real sockets."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.ports import LOOPBACK
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.one_version

#: Seconds for which a test listens to make sure that nothing comes.
SILENCE_S = 0.5


@pytest.fixture
def echo_port() -> Iterator[int]:
    """An echo server."""

    def serve(connection: socket.socket) -> None:
        with closing(connection):
            try:
                while chunk := connection.recv(65536):
                    connection.sendall(chunk)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    with Proxy(echo_port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=10)


def echo(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return receive(connection, len(data))


def receive(connection: socket.socket, count: int) -> bytes:
    answer = b""
    while len(answer) < count and (chunk := connection.recv(65536)):
        answer += chunk
    return answer


def is_silent(connection: socket.socket) -> bool:
    """Whether nothing arrives, not even the end of the connection."""
    connection.settimeout(SILENCE_S)
    try:
        connection.recv(1)
    except OSError as error:
        return isinstance(error, TimeoutError)
    return False


def is_refused(proxy: Proxy) -> bool:
    """Whether a new connection is closed at once, or while it is being made."""
    try:
        with connect(proxy) as connection:
            return not is_silent(connection)
    except ConnectionError:
        return True


def test_proxy_forwards_both_ways_whatever_the_size(proxy: Proxy) -> None:
    """Nothing is added, lost or reordered."""
    data = bytes(range(256)) * 1000

    with connect(proxy) as connection:
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        answer = receive(connection, len(data))

    assert answer == data


def test_proxy_closes_one_side_when_the_other_closes(proxy: Proxy) -> None:
    """As without a proxy."""
    with connect(proxy) as connection:
        assert echo(connection, b"hello") == b"hello"
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(1) == b""
    wait_until(lambda: proxy.open == 0, what="the link to be closed", timeout_s=60)


def test_connection_that_a_client_has_reset_leaves_no_open_socket(proxy: Proxy) -> None:
    """It cannot be shut down any more, only closed."""
    with connect(proxy) as connection:
        assert echo(connection, b"hello") == b"hello"
        # The first bytes may pass before the proxy has noted the link.
        (link,) = wait_until(lambda: list(proxy._links), what="the link", timeout_s=60)  # noqa: SLF001 nothing else knows the sockets
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    wait_until(lambda: all(end.fileno() < 0 for end in link.sockets), what="both to be closed", timeout_s=60)


def test_frozen_connection_is_silent_while_a_new_one_passes(proxy: Proxy) -> None:
    """As with a NAT table that has forgotten a connection: neither side learns of it."""
    with connect(proxy) as old:
        assert echo(old, b"hello") == b"hello"

        assert proxy.freeze() == 1

        old.sendall(b"anybody there?")
        assert is_silent(old)
        with connect(proxy) as new:
            assert echo(new, b"hello") == b"hello"
        assert (proxy.accepted, proxy.frozen, proxy.frozen_handshakes) == (2, 1, 0)


def test_cut_connection_is_reset_and_new_ones_are_refused_until_admitted(proxy: Proxy) -> None:
    """As with a network that is down for a while."""
    with connect(proxy) as old:
        assert echo(old, b"hello") == b"hello"
        proxy.refuse()

        assert proxy.cut() == 1

        with pytest.raises(ConnectionError):
            receive(old, 1)
    assert is_refused(proxy)
    wait_until(lambda: proxy.refused == 1, what="the attempt to be counted", timeout_s=60)
    proxy.admit()
    with connect(proxy) as new:
        assert echo(new, b"hello") == b"hello"


def test_handshake_freezes_after_its_bytes_and_the_next_one_passes(proxy: Proxy) -> None:
    """Each of the next connections has its own limit; later connections have none."""
    proxy.freeze_handshakes([3])
    with connect(proxy) as frozen, connect(proxy) as other:
        assert echo(frozen, b"hel") == b"hel"

        frozen.sendall(b"lo")

        assert is_silent(frozen)
        assert echo(other, b"hello") == b"hello"
    assert proxy.frozen_handshakes == 1


def test_stopped_proxy_ends_frozen_connections_too(proxy: Proxy) -> None:
    """No thread or socket is left."""
    with connect(proxy) as connection:
        assert echo(connection, b"hello") == b"hello"
        proxy.freeze()

        proxy.stop()

        with pytest.raises(ConnectionError):
            receive(connection, 1)
        with pytest.raises(ConnectionError):
            connect(proxy)


def test_proxy_to_a_server_that_is_down_refuses_clients_and_goes_on() -> None:
    """A broker behind it can be reached again after its restart."""
    with socket.create_server((LOOPBACK, 0)) as reserved:
        port = reserved.getsockname()[1]
    with Proxy(port) as proxy:
        assert is_refused(proxy)
        with socket.create_server((LOOPBACK, port)) as server, connect(proxy):
            server.settimeout(10)
            server.accept()[0].close()
