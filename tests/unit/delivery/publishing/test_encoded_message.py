"""What is refused before it is written, and how the error names it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import amqp
import pytest

from proj.delivery.publishing.encoded_message import EncodedMessage, check_address, encode
from proj.delivery.publishing.outgoing_message import OutgoingMessage
from proj.errors import PublishRefused

#: What RabbitMQ offers and py-amqp takes.
FRAME_MAX = 131_072
#: Bytes of a content header without a property: class, weight, body size and flags.
EMPTY = 14


def outgoing(body: bytes | str = b"x", routing_key: str = "work", **properties: Any) -> OutgoingMessage:
    return OutgoingMessage(amqp.Message(body, **properties), "", routing_key, mandatory=True)


def with_header(value: object, name: Any = "x-own") -> OutgoingMessage:
    return outgoing(application_headers={"task": "note", name: value}, correlation_id="5")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ([1.0, {"deep": (math.inf,)}], r"\[1.0, \{'deep': \(inf,\)\}\]"),
        (2**63, "9223372036854775808"),
        (Decimal("1E5"), "Decimal"),
        (Decimal("nan"), "Decimal"),
        (datetime(1950, 1, 1, tzinfo=UTC), "datetime"),
        (object(), "<object"),
    ],
)
def test_header_that_cannot_be_carried_is_refused_by_name(value: object, shown: str) -> None:
    """RabbitMQ closes the connection because of some of them, and py-amqp names none of the others."""
    with pytest.raises(PublishRefused, match=rf"^Task 5 cannot be published: its header 'x-own' is {shown}") as caught:
        encode(with_header(value), FRAME_MAX)

    assert caught.value.task_ids == ("5",)


@pytest.mark.parametrize(
    "value", [None, True, 1.5, 2**62, "x" * 1000, b"\xff", [1, [2.5]], {"a": None}, Decimal("1.5")]
)
def test_other_headers_are_encoded_as_by_py_amqp(value: object) -> None:
    """Byte for byte."""
    message = with_header(value)

    assert encode(message, FRAME_MAX).encoded == message.message._serialize_properties()  # type: ignore[attr-defined] # noqa: SLF001 what py-amqp writes


@pytest.mark.parametrize(
    ("name", "fault"),
    [("k" * 256, "has 256 bytes, and AMQP allows 255"), (5, "the name of its header 5 is not a text")],
)
def test_name_of_a_header_that_cannot_be_carried_is_refused(name: Any, fault: str) -> None:
    """The error says how long it is."""
    with pytest.raises(PublishRefused, match=fault):
        encode(with_header(1, name=name), FRAME_MAX)


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"reply_to": "r" * 256}, "its property 'reply_to' has 256 bytes, and AMQP allows 255"),
        ({"priority": 256}, "its property 'priority' is 256"),
        ({"type": 5}, "its property 'type' is 5"),
        ({"body": "\ud800"}, "cannot be encoded"),
    ],
)
def test_property_that_cannot_be_carried_is_refused_by_name(properties: dict[str, Any], fault: str) -> None:
    """A message that is no task is called so."""
    with pytest.raises(PublishRefused, match=f"^The message cannot be published: .*{fault}"):
        encode(outgoing(**properties), FRAME_MAX)


def test_headers_that_do_not_fit_into_one_frame_are_refused() -> None:
    """The error names the largest of them and its size; a body of any size goes in several frames."""
    # The property, its header's name and length, and the table's length.
    room = FRAME_MAX - 8 - EMPTY - 4 - len(b"\x01aS") - 4
    fits = outgoing(b"x" * 10**6, application_headers={"a": "x" * room})
    too_large = outgoing(application_headers={"a": "x" * (room + 1)})

    assert len(encode(fits, FRAME_MAX).encoded) == FRAME_MAX - 8 - 12
    with pytest.raises(PublishRefused, match=r"have 131065 bytes, .* takes 131064 .* the header 'a', 131\d\d\d bytes"):
        encode(too_large, FRAME_MAX)
    assert encode(too_large, 0)


def test_encoded_message_that_does_not_fit_into_one_frame_is_refused() -> None:
    """A template encodes the properties itself."""
    message: Any = EncodedMessage(b"", b"x" * FRAME_MAX, {"correlation_id": "5"})

    with pytest.raises(PublishRefused, match="Task 5"):
        encode(OutgoingMessage(message, "", "work", mandatory=True), FRAME_MAX)


def test_address_that_cannot_be_carried_is_refused() -> None:
    """Bytes count, not characters."""
    check_address(outgoing(routing_key="r" * 255))

    with pytest.raises(PublishRefused, match="its routing key has 256 bytes"):
        check_address(outgoing(routing_key="ü" * 128))
