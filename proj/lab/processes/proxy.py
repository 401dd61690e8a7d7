"""A TCP proxy on loopback that forwards, and can cut connections or freeze them, new ones in their handshake."""

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
#: Seconds after which a thread looks whether it is still wanted.
_TICK_S = 0.2
#: Seconds until the thread that accepts must have ended.
STOP_TIMEOUT_S = 10.0
#: Close at once and tell the other side by a reset, as a cable that is plugged in elsewhere does.
_RESET = struct.pack("ii", 1, 0)


def allowed(chunk_bytes: int, *, passed_bytes: int, limit_bytes: int | None) -> int:
    """How many bytes of a chunk still pass when `passed_bytes` have, and no more than `limit_bytes` may."""
    return chunk_bytes if limit_bytes is None else max(0, min(chunk_bytes, limit_bytes - passed_bytes))


class _Link:
    """One connection through the proxy, from a client to the server."""

    def __init__(self, client: socket.socket, server: socket.socket, *, limit_bytes: int | None) -> None:
        self.sockets = (client, server)
        self.limit_bytes = limit_bytes
        self.frozen = threading.Event()
        self.closed = threading.Event()
        # Before the first thread, which may close both at once.
        for end in self.sockets:
            end.settimeout(_TICK_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink, limit in ((client, server, limit_bytes), (server, client, None)):
            threading.Thread(target=self._pump, args=(source, sink, limit), name="proxy pump", daemon=True).start()

    def close(self, *, reset: bool) -> None:
        """End it on both sides; a frozen one too."""
        self.closed.set()
        for end in self.sockets:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # A pump may sit inside `recv`, which keeps a closed socket open.
                elif not self.frozen.is_set():
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, limit_bytes: int | None) -> None:
        passed_bytes = 0
        while not self.closed.is_set():
            # A frozen link reads nothing, so that neither side learns of the other, not even that it has closed.
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
                # Blocking, and shared with the other pump's timeout, hence in small steps.
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
    """Connections to `port` here go on to `server_port`; what becomes of them is decided by the methods."""

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
        #: Connections that went through, and that were turned away.
        self.accepted = 0
        self.refused = 0

    @property
    def open(self) -> int:
        """Connections that pass now."""
        return sum(not link.closed.is_set() and not link.frozen.is_set() for link in self._links)

    @property
    def frozen(self) -> int:
        """Connections that were frozen so far, in whatever way."""
        return sum(link.frozen.is_set() for link in self._links)

    @property
    def frozen_handshakes(self) -> int:
        """Connections that froze in their handshake so far."""
        return sum(link.frozen.is_set() and link.limit_bytes is not None for link in self._links)

    def start(self) -> None:
        """Listen and forward."""
        self._listener.listen()
        self._thread.start()

    def stop(self) -> None:
        """End every connection; safe to call twice and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Reset every connection; how many passed until then."""
        with self._lock:
            cut = [link for link in self._links if not link.closed.is_set()]
            for link in cut:
                link.close(reset=True)
            return sum(not link.frozen.is_set() for link in cut)

    def refuse(self) -> None:
        """Turn new connections away until `admit`."""
        self._refusing.set()

    def admit(self) -> None:
        """Let new connections through again."""
        self._refusing.clear()

    def freeze(self) -> int:
        """Freeze every connection there is, for ever, while new ones pass; how many."""
        with self._lock:
            freezing = [link for link in self._links if not link.closed.is_set() and not link.frozen.is_set()]
            for link in freezing:
                link.frozen.set()
            return len(freezing)

    def freeze_handshakes(self, limits_bytes: Sequence[int]) -> None:
        """Freeze each of the next new connections after so many bytes of its client; those after them pass."""
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
                # It may have gone by itself.
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
