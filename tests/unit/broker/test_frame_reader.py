"""The frame reader over a socket pair, without a broker."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import amqp
import pytest
from amqp.exceptions import UnexpectedFrame
from amqp.method_framing import frame_handler

from proj.broker.frame_reader import MOST_FRAMES, FrameReader
from tests.unit.broker.test_whole_delivery import delivered

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


@pytest.mark.parametrize("auto_decode", [True, False])
def test_channel_gets_a_message_that_is_read_at_once_as_it_gets_any_other(wire: Wire, *, auto_decode: bool) -> None:
    """py-amqp decodes the body for a channel that wants it, so that one is left to it."""
    connection: Any = amqp.Connection()
    connection.transport = wire.connection.transport
    seen: list[object] = []
    stock = frame_handler(connection, connection.on_inbound_method)
    connection.on_inbound_frame = lambda found: (seen.append(found), stock(found))
    channel: Any = amqp.Channel(connection, 1, auto_decode=auto_decode)
    got: list[Any] = []
    channel.callbacks["tag"] = got.append
    reader = FrameReader(connection, wire.reader._hub)  # noqa: SLF001 the fixture's

    wire.far.sendall(delivered(b"one", content_encoding="utf-8") + delivered(b"", content_encoding="utf-8"))
    reader.on_readable()

    assert len(seen) == (5 if auto_decode else 0)
    assert connection.bytes_recv == 5
    first, second = got
    assert (first.body, first.properties) == ("one" if auto_decode else b"one", {"content_encoding": "utf-8"})
    assert second.body == ""
    assert first.channel is channel
    assert first.delivery_info == {
        "consumer_tag": "tag",
        "delivery_tag": 7,
        "redelivered": True,
        "exchange": "tasks",
        "routing_key": "work",
    }


@pytest.mark.parametrize("obstacle", ["is_closing", "_pending", "no channel"])
def test_message_is_left_to_pyamqp_when_its_channel_is_not_as_usual(wire: Wire, obstacle: str) -> None:
    """It drops what comes for a channel that is being closed, and says so."""
    channel = SimpleNamespace(
        is_closing=obstacle == "is_closing",
        auto_decode=False,
        _pending={(60, 60): None} if obstacle == "_pending" else {},
        _callbacks={(60, 60): None},
    )
    wire.connection.channels = {} if obstacle == "no channel" else {1: channel}

    wire.far.sendall(delivered())
    wire.reader.on_readable()

    assert len(wire.handled) == 3
