"""A TCP proxy on loopback that can cut its connections, freeze them, and freeze new ones in their handshake."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

from proj.lab.processes.ports import LOOPBACK
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK_BYTES = 65536
#: Seconds after which a thread checks whether it is to end.
_TICK_S = 0.2
#: Seconds until the thread that accepts must have ended.
STOP_TIMEOUT_S = 10.0
#: SO_LINGER with zero seconds: closing the socket sends a reset.
_RESET = struct.pack("ii", 1, 0)


def allowed(chunk_bytes: int, *, passed_bytes: int, limit_bytes: int | None) -> int:
    """How many bytes of a chunk may pass after `passed_bytes`, when `limit_bytes` may pass in all; None is no limit."""
    return chunk_bytes if limit_bytes is None else max(0, min(chunk_bytes, limit_bytes - passed_bytes))


class _Link:
    """One connection through the proxy, from a client to the server."""

    def __init__(self, client: socket.socket, server: socket.socket, *, limit_bytes: int | None) -> None:
        self.sockets = (client, server)
        self.limit_bytes = limit_bytes
        self.frozen = threading.Event()
        self.closed = threading.Event()
        # Before the first thread starts, because it may close both sockets at once.
        for end in self.sockets:
            end.settimeout(_TICK_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink, limit in ((client, server, limit_bytes), (server, client, None)):
            threading.Thread(target=self._pump, args=(source, sink, limit), name="proxy pump", daemon=True).start()

    def close(self, *, reset: bool) -> None:
        """Close both sockets, also of a frozen connection."""
        self.closed.set()
        for end in self.sockets:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # A thread inside `recv` keeps a closed socket open, so shut it down first.
                elif not self.frozen.is_set():
                    end.shutdown(socket.SHUT_RDWR)
            # Also one that the other side has reset, which cannot be shut down.
            with contextlib.suppress(OSError):
                end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, limit_bytes: int | None) -> None:
        passed_bytes = 0
        while not self.closed.is_set():
            # A frozen link reads nothing, so neither side learns that the other one has closed.
            if self.frozen.is_set():
                self.closed.wait(_TICK_S)
                continue
            try:
                chunk = source.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            except OSError:
                break
            if self.frozen.is_set():
                continue
            part = chunk[: allowed(len(chunk), passed_bytes=passed_bytes, limit_bytes=limit_bytes)]
            passed_bytes += len(part)
            if len(part) < len(chunk):
                self.frozen.set()
            try:
                # The socket has the other thread's timeout, so send in small steps.
                _send(sink, part, self.closed)
            except OSError:
                break
            if not chunk:
                break
        if not self.frozen.is_set():
            self.close(reset=False)


def _send(sink: socket.socket, data: bytes, closed: threading.Event) -> None:
    while data and not closed.is_set():
        with contextlib.suppress(TimeoutError):
            data = data[sink.send(data) :]


class Proxy(Service):
    """Forwards connections to `port` here to `server_port`; its methods cut, refuse or freeze them."""

    def __init__(self, server_port: int) -> None:
        """Choose a port; nothing is accepted before `start`."""
        self._server_port = server_port
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((LOOPBACK, 0))
        self._listener.settimeout(_TICK_S)
        self.port: int = self._listener.getsockname()[1]
        self._links: list[_Link] = []
        self._lock = threading.Lock()
        self._limits: Iterator[int] = iter(())
        self._refusing = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        #: Connections that were accepted, and that were refused.
        self.accepted = 0
        self.refused = 0

    @property
    def open(self) -> int:
        """How many connections are open and not frozen."""
        return sum(not link.closed.is_set() and not link.frozen.is_set() for link in self._links)

    @property
    def frozen(self) -> int:
        """How many connections have been frozen so far."""
        return sum(link.frozen.is_set() for link in self._links)

    @property
    def frozen_handshakes(self) -> int:
        """How many connections have been frozen in their handshake so far."""
        return sum(link.frozen.is_set() and link.limit_bytes is not None for link in self._links)

    def start(self) -> None:
        """Listen and forward."""
        self._listener.listen()
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and reset every connection; safe to call twice and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Reset every connection, and return how many were not frozen."""
        with self._lock:
            cut = [link for link in self._links if not link.closed.is_set()]
            for link in cut:
                link.close(reset=True)
            return sum(not link.frozen.is_set() for link in cut)

    def refuse(self) -> None:
        """Refuse new connections until `admit`."""
        self._refusing.set()

    def admit(self) -> None:
        """Accept new connections again."""
        self._refusing.clear()

    def freeze(self) -> int:
        """Freeze every open connection for ever, and return how many. New connections pass."""
        with self._lock:
            freezing = [link for link in self._links if not link.closed.is_set() and not link.frozen.is_set()]
            for link in freezing:
                link.frozen.set()
            return len(freezing)

    def freeze_handshakes(self, limits_bytes: Sequence[int]) -> None:
        """Freeze the next connections, one for each limit, after so many bytes from the client. Later ones pass."""
        with self._lock:
            self._limits = iter(limits_bytes)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._refusing.is_set():
                self.refused += 1
                # The client may have closed it already.
                with contextlib.suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            try:
                server = socket.create_connection((LOOPBACK, self._server_port), timeout=_TICK_S * 10)
            except OSError:
                client.close()
                continue
            with self._lock:
                self.accepted += 1
                self._links.append(_Link(client, server, limit_bytes=next(self._limits, None)))
