"""Messages that are read in one pass are those that py-amqp would read frame by frame."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.basic_message import Message
from amqp.method_framing import frame_handler
from amqp.serialization import dumps, loads
from amqp.spec import Basic
from hypothesis import given
from hypothesis import strategies as st

from proj.broker.whole_delivery import whole_delivery
from tests.hostility import MESSAGES, Hostile

HEADERS = {"task": "proj.work", "id": "1", "retries": 0, "timelimit": [None, None], "stamps": {}, "eta": None}


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def delivered(body: bytes = b"body", **properties: Any) -> bytes:
    """The frames of a message, as a broker writes them."""
    arguments = struct.pack(">HH", *Basic.Deliver) + dumps("sLbss", ("tag", 7, True, "tasks", "work"))
    written: Any = Message(**properties)
    head = struct.pack(">HHQ", Basic.CLASS_ID, 0, len(body)) + written._serialize_properties()  # noqa: SLF001 as it comes
    return frame(1, arguments) + frame(2, head) + (frame(3, body) if body else b"")


def by_pyamqp(wire: bytes) -> tuple[object, ...] | None:
    """What py-amqp reads of the first message; None when it raises or waits for more."""
    read: list[tuple[int, bytes, Any]] = []
    on_frame = frame_handler(
        SimpleNamespace(bytes_recv=0), lambda channel, _, args, found: read.append((channel, args, found))
    )
    at = 0
    try:
        while not read:
            kind, channel, size = struct.unpack_from(">BHI", wire, at)
            if wire[at + 7 + size] != 0xCE:
                return None
            on_frame((kind, channel, wire[at + 7 : at + 7 + size]))
            at += 8 + size
        ((channel, args, message),) = read
        arguments, _ = loads("sLbss", args, 4)
    except Exception:  # noqa: BLE001 py-amqp raises anything
        return None
    return at, channel, tuple(arguments), message.properties, message.body, message.body_size, message.ready


def at_once(wire: bytes) -> tuple[object, ...] | None:
    found = whole_delivery(wire, 0)
    if found is None:
        return None
    message: Any = found.message
    return found.end, found.channel, found.arguments, message.properties, message.body, message.body_size, message.ready


@given(MESSAGES)
def test_message_is_read_as_pyamqp_reads_it_or_left_to_it(hostile: Hostile) -> None:
    """Whatever it holds."""
    wire = delivered(hostile.body, application_headers=hostile.headers, **hostile.properties)

    read = at_once(wire)

    assert read is None or repr(read) == repr(by_pyamqp(wire))


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), min_size=1, max_size=3))
def test_message_with_broken_bytes_is_read_as_pyamqp_reads_it_or_left_to_it(changes: list[tuple[int, int]]) -> None:
    """A length that leads out of its frame, a type that there is not, a text that is not UTF-8."""
    wire = bytearray(delivered(application_headers=HEADERS, content_type="text/plain", correlation_id="1", priority=1))
    for at, value in changes:
        wire[at % len(wire)] = value

    read = at_once(bytes(wire))

    assert read is None or repr(read) == repr(by_pyamqp(bytes(wire)))


@pytest.mark.parametrize("body", [b"body", b""])
def test_usual_message_is_read_at_once(body: bytes) -> None:
    """With the next one behind it."""
    wire = delivered(body, application_headers=HEADERS, content_type="text/plain", delivery_mode=2, reply_to="me")

    found = whole_delivery(b"before" + wire + wire, 6)

    assert found is not None
    assert (found.end, found.frames) == (6 + len(wire), 3 if body else 2)
    assert repr(at_once(wire)) == repr(by_pyamqp(wire))
    assert found.arguments == ("tag", 7, True, "tasks", "work")
    assert found.message.properties["application_headers"] == HEADERS


def test_message_that_is_not_all_there_is_left_to_pyamqp() -> None:
    """Its rest comes with the next read."""
    wire = delivered(application_headers=HEADERS)

    assert not any(whole_delivery(wire[:end], 0) for end in range(len(wire)))


def test_body_of_several_frames_is_left_to_pyamqp() -> None:
    """And so is a frame of another kind."""
    wire = delivered(b"long body")
    rest = frame(3, b"long body")

    assert whole_delivery(wire[: -len(rest)] + frame(3, b"long ") + frame(3, b"body"), 0) is None
    assert whole_delivery(rest + wire, 0) is None
