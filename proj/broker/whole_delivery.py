"""Whole delivery: reads the three frames of a message in one pass, where py-amqp takes fifty calls.

It reads only what is usual, with the same result as py-amqp. All else, and all that is broken, is left to py-amqp.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from amqp.basic_message import Message
from amqp.serialization import _read_item as read_item  # type: ignore[attr-defined] # celery-types lacks it
from amqp.spec import Basic

#: Type, channel and size of the frame, class and method. Source: AMQP 0-9-1, 4.2.3 and 4.2.4
_METHOD = Struct(">BHIHH").unpack_from
#: Type, channel and size of the frame, class, weight and size of the body. Source: AMQP 0-9-1, 4.2.6.1
_HEADER = Struct(">BHIHHQ").unpack_from
#: Type, channel and size of the frame.
_BODY = Struct(">BHI").unpack_from
_FRAME_END = 0xCE
_CLASS, _DELIVER = Basic.Deliver
#: The types of frames.
_IS_METHOD, _IS_HEADER, _IS_BODY = 1, 2, 3
#: The types of values in a table: a long text, nothing, and a signed number of four bytes.
_TEXT, _NOTHING, _NUMBER = b"SVI"

#: The flag of each short text in the properties, in the order of the wire: those before the headers, those behind the
#: priority, and those behind the timestamp. Source: AMQP 0-9-1, 4.2.6.1 and class basic
_FIRST = ((0x8000, "content_type"), (0x4000, "content_encoding"))
_HEADERS, _DELIVERY_MODE, _PRIORITY = 0x2000, 0x1000, 0x0800
_SECOND = ((0x0400, "correlation_id"), (0x0200, "reply_to"), (0x0100, "expiration"), (0x0080, "message_id"))
#: A timestamp, what comes behind it, and more flags: seldom used.
_UNUSUAL = 0x007F

_LONG = Struct(">I").unpack_from
_LONG_LONG = Struct(">QB").unpack_from
_SIGNED_LONG = Struct(">i").unpack_from

#: The list of two nothings that Celery sends for a task without time limits.
_NO_TIME_LIMITS = b"A\x00\x00\x00\x02VV"
#: Short texts that were read before.
_texts: dict[bytes, str] = {}
_MOST_TEXTS = 1000


class WholeDelivery(NamedTuple):
    """A message with all its frames."""

    #: Where the next frame begins in the buffer.
    end: int
    #: How many they are: two without a body.
    frames: int
    channel: int
    #: What `basic.deliver` says: consumer tag, delivery tag, redelivered, exchange and routing key.
    arguments: tuple[str, int, bool, str, str]
    message: Message


def whole_delivery(buffer: bytes, begin: int) -> WholeDelivery | None:
    """The message whose frames begin there; None when they are not all there, or there is anything unusual in them."""
    try:
        return _read(buffer, begin)
    except Exception:  # noqa: BLE001 py-amqp reads it again, and raises what it raises
        return None


def _read(buffer: bytes, begin: int) -> WholeDelivery | None:
    kind, channel, size, class_id, method = _METHOD(buffer, begin)
    end = begin + 7 + size
    if kind != _IS_METHOD or class_id != _CLASS or method != _DELIVER or buffer[end] != _FRAME_END:
        return None
    header = end + 1
    kind, header_channel, size, class_id, _weight, body_size = _HEADER(buffer, header)
    header_end = header + 7 + size
    if kind != _IS_HEADER or header_channel != channel or class_id != _CLASS or buffer[header_end] != _FRAME_END:
        return None
    body = after = header_end + 1
    if body_size:
        kind, body_channel, size = _BODY(buffer, body)
        body += 7
        after = body + size + 1
        if kind != _IS_BODY or body_channel != channel or size != body_size or buffer[after - 1] != _FRAME_END:
            return None
    arguments, at = _arguments(buffer, begin + 11)
    properties, header_at = _properties(buffer, header + 19)
    # A length that leads out of its frame.
    if at != end or header_at != header_end:
        return None
    # py-amqp leaves an empty text where there is no body.
    message: Any = Message(buffer[body : body + body_size] if body_size else "")
    message.properties = properties
    message.body_size = message.body_received = body_size
    message.ready = True
    return WholeDelivery(after, 3 if body_size else 2, channel, arguments, message)


def _arguments(buffer: bytes, at: int) -> tuple[tuple[str, int, bool, str, str], int]:
    end = at + 1 + buffer[at]
    tag = _known(buffer[at + 1 : end])
    delivery_tag, bits = _LONG_LONG(buffer, end)
    at = end + 9
    end = at + 1 + buffer[at]
    exchange = _known(buffer[at + 1 : end])
    at = end
    end = at + 1 + buffer[at]
    return (tag, delivery_tag, bits & 1 == 1, exchange, _known(buffer[at + 1 : end])), end


def _properties(buffer: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The properties that begin there, and where they end; unusual ones are an error."""
    flags = buffer[at] << 8 | buffer[at + 1]
    at += 2
    if flags & _UNUSUAL:
        raise ValueError("unusual")
    found: dict[str, Any] = {}
    for flag, name in _FIRST:
        if flags & flag:
            end = at + 1 + buffer[at]
            found[name] = _known(buffer[at + 1 : end])
            at = end
    if flags & _HEADERS:
        found["application_headers"], at = _table(buffer, at)
    if flags & _DELIVERY_MODE:
        found["delivery_mode"] = buffer[at]
        at += 1
    if flags & _PRIORITY:
        found["priority"] = buffer[at]
        at += 1
    for flag, name in _SECOND:
        if flags & flag:
            end = at + 1 + buffer[at]
            found[name] = buffer[at + 1 : end].decode()
            at = end
    return found, at


def _table(buffer: bytes, at: int) -> tuple[dict[str, Any], int]:
    (size,) = _LONG(buffer, at)
    at += 4
    limit = at + size
    names = _texts
    found: dict[str, Any] = {}
    while at < limit:
        end = at + 1 + buffer[at]
        written = buffer[at + 1 : end]
        name = names.get(written) or _known(written)
        kind = buffer[end]
        if kind == _TEXT:
            at = end + 5 + _LONG(buffer, end + 1)[0]
            found[name] = buffer[end + 5 : at].decode()
        elif kind == _NOTHING:
            at = end + 1
            found[name] = None
        elif kind == _NUMBER:
            at = end + 5
            (found[name],) = _SIGNED_LONG(buffer, end + 1)
        elif buffer.startswith(_NO_TIME_LIMITS, end):
            at = end + len(_NO_TIME_LIMITS)
            found[name] = [None, None]
        else:
            found[name], at = read_item(buffer, end)
    return found, at


def _known(written: bytes) -> str:
    """A text that many messages have: the name of a header, a queue or a content type."""
    text = _texts.get(written)
    if text is None:
        text = written.decode()
        if len(_texts) < _MOST_TEXTS:
            _texts[written] = text
    return text
