"""Frame reader: reads all frames that a socket has in one system call, and handles them in one turn of the loop.

py-amqp reads each frame in three calls, and a message has three frames. kombu handles one message a turn of the loop.
A message whose frames are all there is read at once (`whole_delivery.py`).
"""

from __future__ import annotations

import socket
import ssl
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame
from amqp.spec import Basic
from amqp.transport import TCPTransport

from proj.broker.tls.transport import TlsSocket
from proj.broker.whole_delivery import whole_delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from kombu.asynchronous import Hub

#: Bytes that are read at a time.
CHUNK = 65_536
#: Frames that are handled in one turn of the loop. The pool's results have to wait meanwhile.
MOST_FRAMES = 96

#: Type, channel and size. Source: AMQP 0-9-1, 4.2.3
_HEADER = Struct(">BHI")
_FRAME_END = 0xCE
_WOULD_BLOCK = (BlockingIOError, InterruptedError, TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection(Protocol):
    """What is used of `amqp.Connection`; celery-types lacks most of it."""

    channels: dict[int, Any] | None
    on_inbound_frame: Callable[[tuple[int, int, bytes]], object]
    #: How many frames were read.
    bytes_recv: int
    #: A `TCPTransport` or a `TlsSocket`.
    transport: Any

    @property
    def connected(self) -> bool:
        """Whether it is open."""


def read_ahead(connection: kombu.Connection, hub: Hub) -> None:
    """Read the connection with a `FrameReader` when `hub` finds it readable."""
    beneath: Any = connection.connection
    if type(beneath.transport) not in {TCPTransport, TlsSocket}:
        return
    transport: Any = beneath.transport
    reader = (TlsFrameReader if isinstance(transport, TlsSocket) else FrameReader)(beneath, hub)
    # py-amqp reads by this name when it waits for an answer.
    transport.read_frame = reader.read_frame
    hub.add_reader(transport.sock, reader.on_readable)


class FrameReader:
    """Reads the frames of one connection of py-amqp."""

    def __init__(self, connection: Connection, hub: Hub) -> None:
        """Read from `connection`, on the loop `hub`."""
        self._connection = connection
        self._hub = hub
        #: As in py-amqp's transport.
        self.sock: socket.socket = connection.transport.sock
        self._buffer = b""
        #: Where the next frame begins in it.
        self._position = 0

    def on_readable(self) -> None:
        """Handle the frames that are there.

        Raises:
            RecoverableConnectionError: the connection is closed.
            OSError: the broker has closed it.
        """
        connection = self._connection
        if not connection.connected:
            raise RecoverableConnectionError("Socket was disconnected")
        try:
            self.receive(CHUNK, socket.MSG_DONTWAIT)
        except _WOULD_BLOCK:
            return
        self._handle()

    def read_frame(self) -> tuple[int, int, bytes]:
        """Wait for the next frame, and read no byte after it, which the loop would not learn of.

        Raises:
            TimeoutError: none came within the socket's timeout.
            OSError: the broker has closed the connection.
        """
        try:
            while (frame := self._next_frame()) is None:
                self.receive(self._missing())
        except _WOULD_BLOCK as error:
            # SO_RCVTIMEO, or a timeout of 0.
            raise TimeoutError from error
        return frame

    def _handle(self) -> None:
        """Handle the frames in the buffer; the loop calls this again for those that one turn leaves."""
        connection = self._connection
        handled = 0
        while handled < MOST_FRAMES:
            # A handler may close the connection.
            if not connection.connected:
                return
            if self._deliver():
                handled += 3
                continue
            frame = self._next_frame()
            if frame is None:
                return
            connection.on_inbound_frame(frame)
            handled += 1
        self._hub.call_soon(self._handle)

    def _deliver(self) -> bool:
        """Give the next message to its channel, if all its frames are in the buffer and nothing about it is unusual."""
        found = whole_delivery(self._buffer, self._position)
        if found is None:
            return False
        connection = self._connection
        channel = (connection.channels or {}).get(found.channel)
        # Where py-amqp would do more than to call this.
        if channel is None or channel.is_closing or channel.auto_decode or Basic.Deliver in channel._pending:  # noqa: SLF001 no public name
            return False
        deliver = channel._callbacks.get(Basic.Deliver)  # noqa: SLF001 no public name
        if deliver is None:
            return False
        self._position = found.end
        # Its heartbeats count the frames.
        connection.bytes_recv += found.frames
        deliver(*found.arguments, found.message)
        return True

    def receive(self, most: int, flags: int = 0) -> None:
        """Read at most so many bytes into the buffer; the watchdog looks for this function on the stack.

        Raises:
            OSError: none came in time, or the broker has closed the connection.
        """
        try:
            data = self.sock.recv(most, flags)
        except _WOULD_BLOCK:
            raise
        except OSError:
            self._connection.transport.connected = False
            raise
        if not data:
            self._connection.transport.connected = False
            raise OSError("Server unexpectedly closed connection")
        rest = self._buffer[self._position :]
        self._buffer, self._position = rest + data if rest else data, 0

    def _next_frame(self) -> tuple[int, int, bytes] | None:
        """Take a whole frame out of the buffer; None when there is none."""
        buffer, begin = self._buffer, self._position
        if len(buffer) - begin < _HEADER.size:
            return None
        kind, channel, size = _HEADER.unpack_from(buffer, begin)
        begin += _HEADER.size
        end = begin + size
        if len(buffer) <= end:
            return None
        if buffer[end] != _FRAME_END:
            raise UnexpectedFrame(f"Received frame_end {buffer[end]:#04x} while expecting 0xce")
        self._position = end + 1
        return kind, channel, buffer[begin:end]

    def _missing(self) -> int:
        """The bytes until the next frame's header, or the frame, is whole."""
        have = len(self._buffer) - self._position
        if have < _HEADER.size:
            return _HEADER.size - have
        _kind, _channel, size = _HEADER.unpack_from(self._buffer, self._position)
        return _HEADER.size + int(size) + 1 - have


class TlsFrameReader(FrameReader):
    """Reads a connection with TLS.

    A record of TLS is decrypted as a whole, up to 16 KiB with many frames. What of it was not read is no longer in the
    socket, where the loop would see it. So it is always read as a whole, and the loop is asked to handle the rest. With
    py-amqp's own reader a message waits there until the broker sends something else; and a frame of which only a part
    has come keeps the loop busy until the rest comes.
    """

    sock: ssl.SSLSocket

    def __init__(self, connection: Connection, hub: Hub) -> None:
        """Read from `connection`, on the loop `hub`; also what came before."""
        super().__init__(connection, hub)
        transport = connection.transport
        self._buffer, transport._read_buffer = bytes(transport._read_buffer), b""  # noqa: SLF001 no public name
        self._is_asked = False
        self._ask_loop()

    def read_frame(self) -> tuple[int, int, bytes]:
        """As of a connection without TLS; the loop handles what has come with it."""
        frame = super().read_frame()
        self._ask_loop()
        return frame

    def receive(self, most: int, flags: int = 0) -> None:
        """Read a record, however few bytes are asked for; with a flag, without waiting."""
        if not flags:
            super().receive(max(most, CHUNK))
            return
        timeout_s = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            super().receive(max(most, CHUNK))
        finally:
            self.sock.settimeout(timeout_s)

    def _ask_loop(self) -> None:
        """Let the loop handle what is in the buffer, or decrypted."""
        if not self._is_asked and (self._position < len(self._buffer) or self.sock.pending()):
            self._is_asked = True
            self._hub.call_soon(self._on_asked)

    def _on_asked(self) -> None:
        self._is_asked = False
        # Closed meanwhile; another reader reads the next connection.
        if self._connection.connected:
            if self.sock.pending():
                self.on_readable()
            else:
                self._handle()
