"""The frame reader over a socket pair, without a broker."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.exceptions import UnexpectedFrame

from proj.broker.frame_reader import MOST_FRAMES, FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def frame(payload: bytes, kind: int = 1, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + bytes([end])


class Wire:
    """A reader, the broker's end of its socket, and the frames that were handled."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.far = far
        self.handled: list[bytes] = []
        self.later: list[Callable[[], None]] = []
        self.connection = SimpleNamespace(
            connected=True,
            transport=SimpleNamespace(sock=near, connected=True),
            on_inbound_frame=lambda found: self.handled.append(found[2]),
        )
        hub: Any = SimpleNamespace(call_soon=self.later.append)
        self.reader = FrameReader(self.connection, hub)


@pytest.fixture
def wire() -> Iterator[Wire]:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(None)
        yield Wire(near, far)


def test_all_frames_of_the_socket_are_handled_in_one_turn(wire: Wire) -> None:
    """A part of the next one waits for its rest."""
    last = frame(b"three")
    wire.far.sendall(frame(b"one") + frame(b"") + last[:-2])
    wire.reader.on_readable()
    assert wire.handled == [b"one", b""]

    wire.far.sendall(last[-2:])
    wire.reader.on_readable()
    assert wire.handled == [b"one", b"", b"three"]


def test_frames_beyond_one_turn_are_handled_in_the_next(wire: Wire) -> None:
    """The loop is asked for it, because the socket has nothing to read any more."""
    wire.far.sendall(frame(b"x") * (MOST_FRAMES + 1))
    wire.reader.on_readable()
    assert len(wire.handled) == MOST_FRAMES

    (go_on,) = wire.later
    go_on()
    assert len(wire.handled) == MOST_FRAMES + 1


def test_waiting_for_a_frame_leaves_the_next_one_in_the_socket(wire: Wire) -> None:
    """Or the loop, which watches the socket, would not learn of it."""
    wire.far.sendall(frame(b"answer") + frame(b"next"))

    assert wire.reader.read_frame() == (1, 1, b"answer")
    wire.reader.on_readable()
    assert wire.handled == [b"next"]


def test_waiting_takes_the_frames_that_the_loop_has_read_first(wire: Wire) -> None:
    """A handler that waits for an answer gets the frames in the order of the wire."""
    waited: list[bytes] = []

    def wait(found: tuple[int, int, bytes]) -> None:
        if found[2] == b"ask":
            waited.append(wire.reader.read_frame()[2])
        else:
            wire.handled.append(found[2])

    wire.connection.on_inbound_frame = wait
    wire.far.sendall(frame(b"ask") + frame(b"answer") + frame(b"last"))
    wire.reader.on_readable()

    assert (waited, wire.handled) == ([b"answer"], [b"last"])


def test_nothing_to_read_is_no_error(wire: Wire) -> None:
    """The loop may be told of a socket that another has read meanwhile."""
    wire.reader.on_readable()
    assert wire.handled == []


def test_waiting_ends_with_the_timeout_of_the_socket(wire: Wire) -> None:
    """With the error that py-amqp expects."""
    wire.connection.transport.sock.settimeout(0)
    with pytest.raises(TimeoutError):
        wire.reader.read_frame()


def test_closed_connection_is_an_error(wire: Wire) -> None:
    """And the transport is marked, so that nobody waits for it again."""
    wire.far.close()
    with pytest.raises(OSError, match="closed connection"):
        wire.reader.on_readable()
    assert wire.connection.transport.connected is False


def test_frame_with_a_wrong_end_is_an_error(wire: Wire) -> None:
    """What comes after it cannot be trusted."""
    wire.far.sendall(frame(b"one", end=0))
    with pytest.raises(UnexpectedFrame):
        wire.reader.on_readable()
