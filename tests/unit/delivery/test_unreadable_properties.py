"""Message properties that py-amqp cannot read."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import amqp
from amqp.basic_message import Message as AmqpMessage
from amqp.method_framing import frame_handler
from amqp.spec import Basic
from hypothesis import given
from hypothesis import strategies as st

from proj.delivery.header_names import UNREADABLE
from proj.delivery.unreadable_properties import tolerate


def test_pyamqp_gives_every_frame_to_the_handler_that_can_be_replaced() -> None:
    """`amqp.Connection.on_inbound_frame` can be set, and `blocking_read` calls what was set."""
    connection: Any = amqp.Connection()
    frame = (1, 1, b"")
    connection.transport = SimpleNamespace(having_timeout=lambda _: nullcontext(), read_frame=lambda: frame)
    seen: list[object] = []
    connection.on_inbound_frame = seen.append

    connection.blocking_read()

    assert seen == [frame]


@given(st.binary(max_size=200), st.sampled_from([0x2000, 0x8000, 0x0200, 0xFFFF, 0x3000]))
def test_message_arrives_whatever_its_properties_are(content: bytes, flags: int) -> None:
    """It has its body, and a header that holds the error if they cannot be read; the next message is not affected."""
    received: list[Any] = []
    connection = SimpleNamespace(bytes_recv=0)
    connection.on_inbound_frame = frame_handler(connection, lambda *args: received.append(args[-1]))
    tolerate(connection)
    header = struct.pack(">HHQ", Basic.CLASS_ID, 0, 4) + struct.pack(">H", flags) + content
    proper = AmqpMessage(message_id="next")._serialize_properties()  # noqa: SLF001 as it comes from the wire

    for properties in (header, struct.pack(">HHQ", Basic.CLASS_ID, 0, 4) + proper):
        connection.on_inbound_frame((1, 1, struct.pack(">HH", *Basic.Deliver)))
        connection.on_inbound_frame((2, 1, properties))
        connection.on_inbound_frame((3, 1, b"body"))

    first, second = received
    assert first.body == second.body == b"body"
    assert second.properties == {"message_id": "next"}
    unread = (first.properties.get("application_headers") or {}).get(UNREADABLE)
    assert unread is None or isinstance(unread, str)
