"""A message with its properties encoded, or refused before anything of it is written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.serialization import dumps

from proj.delivery.publishing.outgoing_message import message_id
from proj.delivery.serializers import encoded_properties
from proj.errors import PublishRefused
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.delivery.publishing.outgoing_message import OutgoingMessage

#: Bytes of a frame that are not its payload, and bytes of a content header before the properties.
#: Source: AMQP 0-9-1, 2.3.5 and 4.2.6.1.
_FRAME_OVERHEAD = 8
_BEFORE_PROPERTIES = 12
#: Bytes of AMQP's short string at most: an id, a name, a routing key.
_SHORT_STRING = 255
#: Types of values that can be written, or are refused by py-amqp.
_HARMLESS = frozenset({str, bytes, int, bool, type(None)})
_HEADERS = "application_headers"


class EncodedMessage:
    """A message whose properties are encoded already; py-amqp writes it as it writes its own."""

    __slots__ = ("body", "encoded", "properties")

    def __init__(self, body: bytes | str, encoded: bytes, properties: dict[str, Any]) -> None:
        """Take the body, the encoded properties, and those that are read on the way."""
        self.body = body
        self.properties = properties
        self.encoded = encoded

    def _serialize_properties(self) -> bytes:
        return self.encoded


def encode(outgoing: OutgoingMessage, frame_max: int) -> EncodedMessage:
    """The message as it can be written to a connection with this `frame_max` in bytes; 0 is without a limit.

    RabbitMQ closes the whole connection because of what is refused here, with the code 501 for a content header that is
    larger than a frame and 541 for a number that is not finite. All that was in flight would have to be sent again.

    Raises:
        PublishRefused: AMQP or RabbitMQ cannot carry it; the error names the header or the property.
    """
    message: Any = outgoing.message
    if isinstance(message, EncodedMessage):
        encoded = message
    else:
        try:
            body = message.body
            if isinstance(body, str):
                # As py-amqp's writer does, which sees only the encoded properties.
                body = body.encode(message.properties.setdefault("content_encoding", "utf-8"))
            encoded = EncodedMessage(body, encoded_properties(message), message.properties)
            headers = message.properties.get(_HEADERS)
            is_finite = not headers or _is_finite(headers)
        except Exception as error:
            raise _refused(outgoing, _unencodable(message.properties, error)) from error
        if not is_finite:
            raise _refused(outgoing, _not_finite(headers))
    size, most = _BEFORE_PROPERTIES + len(encoded.encoded), frame_max - _FRAME_OVERHEAD
    if frame_max and size > most:
        raise _refused(outgoing, _too_large(message.properties, size, most))
    return encoded


def check_address(outgoing: OutgoingMessage) -> None:
    """Check the names of the exchange and the routing key.

    Raises:
        PublishRefused: one of them is longer than AMQP allows.
    """
    for what, name in (("exchange", outgoing.exchange), ("routing key", outgoing.routing_key)):
        if (size := _bytes(name)) > _SHORT_STRING:
            raise _refused(outgoing, f"its {what} has {size} bytes, and AMQP allows {_SHORT_STRING}")


def _is_finite(value: object) -> bool:
    """Whether no number in it is infinite or not a number; RabbitMQ cannot read such a one."""
    if type(value) in _HARMLESS:
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_is_finite, value))


def _refused(outgoing: OutgoingMessage, fault: str) -> PublishRefused:
    subject = f"Task {name}" if (name := message_id(outgoing.message)) else "The message"
    return PublishRefused(f"{subject} cannot be published: {fault}. Nothing of it was sent.", (name,) if name else ())


def _unencodable(properties: Mapping[str, Any], error: Exception) -> str:
    """The fault of a message that py-amqp cannot encode: the first header or property that it cannot."""
    headers = properties.get(_HEADERS)
    if isinstance(headers, dict):
        for name, value in headers.items():
            if not isinstance(name, (str, bytes)):
                return f"the name of its header {shown(name)} is not a text"
            if (size := _bytes(name)) > _SHORT_STRING:
                return f"the name of its header {shown(name)} has {size} bytes, and AMQP allows {_SHORT_STRING}"
            if not _can_encode("F", {name: value}):
                return f"its header {shown(name)} is {shown(value)}, which AMQP cannot carry"
    for name, kind in Message.PROPERTIES:
        value = properties.get(name)
        if value is not None and not _can_encode(kind, value):
            if kind == "s" and isinstance(value, (str, bytes)):
                return f"its property {name!r} has {_bytes(value)} bytes, and AMQP allows {_SHORT_STRING}"
            return f"its property {name!r} is {shown(value)}, which AMQP cannot carry"
    return f"it cannot be encoded as an AMQP message ({shown(error)})"


def _not_finite(headers: Mapping[Any, Any]) -> str:
    name = next(name for name, value in headers.items() if not _is_finite(value))
    return (
        f"its header {shown(name)} is {shown(headers[name])}, and RabbitMQ closes a connection with a number that is "
        "not finite. Send it as a text"
    )


def _too_large(properties: Mapping[str, Any], size: int, most: int) -> str:
    sizes = {name: len(dumps("F", ({name: value},))) for name, value in (properties.get(_HEADERS) or {}).items()}
    largest = max(sizes, key=lambda name: sizes[name], default=None)
    which = "" if largest is None else f" (the largest is the header {shown(largest)}, {sizes[largest]} bytes)"
    return (
        f"its headers and properties have {size} bytes, and one frame of this connection takes {most}{which}. "
        "Send large values in the body, as arguments of the task"
    )


def _can_encode(kind: str, value: object) -> bool:
    try:
        dumps(kind, (value,))
    except Exception:  # noqa: BLE001 what py-amqp raises depends on the value
        return False
    return True


def _bytes(text: str | bytes) -> int:
    return len(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
