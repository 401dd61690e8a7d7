"""Message properties that py-amqp cannot read: they become a header that says so, and the message still arrives.

py-amqp decodes a message's properties while it reads frames. Some properties raise there: a time in the year
292 billion, tables nested a thousand deep, a text that is not UTF-8. The error ends the connection, and with it the
worker that reads from it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from amqp.basic_message import Message

from proj.delivery.header_names import RAW_PROPERTIES, UNREADABLE
from proj.delivery.serializers import encoded_properties
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class FrameReader(Protocol):
        """The part of `amqp.Connection` that is replaced here; celery-types does not list it."""

        on_inbound_frame: Callable[[tuple[int, int, bytes]], object]


#: AMQP's type of a frame with a message's properties, and the bytes before them: class, weight and body size.
#: Source: AMQP 0-9-1, 4.2.6.1.
_HEADER_FRAME = 2
_HEADER_PREFIX_BYTES = 12
#: Bytes of unreadable properties that are kept: in base64 they must fit into one frame again.
_KEPT_BYTES = 49_152


def tolerate(connection: FrameReader) -> None:
    """Let py-amqp's connection deliver a message whose properties cannot be read.

    Such a message has no properties but two headers: `UNREADABLE` holds the error, `RAW_PROPERTIES` the bytes in
    base64.
    """
    stock = connection.on_inbound_frame

    def on_inbound_frame(frame: tuple[int, int, bytes]) -> object:
        kind, channel, content = frame
        if kind != _HEADER_FRAME:
            return stock(frame)
        try:
            return stock(frame)
        except Exception as error:  # noqa: BLE001 a parser raises anything on bytes that any client may send
            # Until here the reader has only noted the body's size, so it can be given the frame once more.
            return stock((kind, channel, _readable(bytes(content), error)))

    connection.on_inbound_frame = on_inbound_frame


def _readable(content: bytes, error: Exception) -> bytes:
    """The header frame of the same message with the two headers in place of its properties."""
    kept = base64.b64encode(content[_HEADER_PREFIX_BYTES:][:_KEPT_BYTES]).decode()
    substitute = Message(application_headers={UNREADABLE: shown(error), RAW_PROPERTIES: kept})
    return content[:_HEADER_PREFIX_BYTES] + encoded_properties(substitute)
