"""The message class of a worker: how its body is read, and how it is settled."""

from __future__ import annotations

import json
import logging
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import serialization
from kombu.transport.pyamqp import Message as StockMessage

from proj.delivery.validation.message import TooLarge
from tests.hostility import JSON, MESSAGES, Hostile
from tests.unit.delivery.consuming.received import received

logger = logging.getLogger(__name__)


class Settlement:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def ack(self) -> None:
        self.asked.append("ack")

    def reject(self, *, requeue: bool) -> None:
        self.asked.append(("reject", requeue))


def settled(message: Any) -> list[object]:
    return list(message.channel.settled)


def test_message_that_is_settled_twice_is_settled_once() -> None:
    """By the end of its task and by the confirm of its copy; a second acknowledgement would close the channel."""
    message = received()

    message.ack_log_error(logger, ())
    message.ack_log_error(logger, ())
    message.reject_log_error(logger, (), requeue=True)
    message.requeue()

    assert settled(message) == [("ack", 7, False)]


def test_message_with_a_settlement_is_acknowledged_there() -> None:
    """It is acknowledged on its channel as the settlement takes over, and never again."""
    first, second, settlement = received(), received(), Settlement()

    for message in (first, second):
        message.move_settlement(settlement)
    first.ack_log_error(logger, ())
    first.ack_log_error(logger, ())
    second.reject_log_error(logger, (), requeue=True)

    assert settlement.asked == ["ack", ("reject", True)]
    assert settled(first) == settled(second) == [("ack", 7, False)]
    assert first.acknowledged
    assert second.acknowledged


def test_message_of_a_closed_channel_can_be_settled_only_elsewhere() -> None:
    """The broker has taken it back, unless it was moved into a lease's queue."""
    lost: Any = received()
    leased: Any = received()
    leased.move_settlement(Settlement())
    for message in (lost, leased):
        message.channel.is_open = False

    assert not lost.can_be_settled
    assert leased.can_be_settled


def test_body_is_kept_as_it_came_and_read_as_its_properties_say() -> None:
    """A copy has the bytes of the original."""
    packed = zlib.compress(b"[]")
    text = received("Grüße".encode(), content_encoding="utf-8")
    compressed = received(packed, application_headers={"compression": "application/x-gzip"})

    assert (text.body, text.raw_body) == ("Grüße", "Grüße".encode())
    assert (compressed.raw_body, compressed.body_error) == (packed, None)


@pytest.mark.parametrize("compression", [None, "application/x-gzip"])
def test_body_beyond_the_limit_is_dropped_before_it_is_decoded(compression: str | None) -> None:
    """The bytes that came are kept for the dead letter."""
    body = zlib.compress(b" " * 1001) if compression else b" " * 1001

    message = received(body, largest_bytes=1000, application_headers={"compression": compression})

    assert isinstance(message.body_error, TooLarge)
    assert (message.body, message.raw_body) == (b"", body)


def test_body_that_cannot_be_decompressed_has_the_error() -> None:
    """Kombu would call another handler for a message with errors."""
    message = received(b"not zipped", application_headers={"compression": "application/x-gzip"})

    assert message.body_error is not None
    assert message.errors == []


@given(MESSAGES)
def test_message_is_received_whatever_it_holds(hostile: Hostile) -> None:
    """It never raises: an error there would end the worker."""
    message = received(hostile.body, application_headers=hostile.headers, **hostile.properties)

    assert message.raw_body == hostile.body


def decoded(message: Any, decode: Any) -> str:
    try:
        return repr(decode(message))
    except Exception as error:  # noqa: BLE001 a decoder raises anything
        return repr(error)


@given(
    JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(
        [b"", b"[", b"\xef\xbb\xbf[]", b'{"__type__": "bytes", "__value__": "x"}', b'{"__type__": 1, "__value__": 2}']
    )
    | st.binary(max_size=5),
    st.sampled_from(["utf-8", "ascii", None]),
    st.sampled_from([{"application/json"}, {"text/plain"}, None]),
)
def test_json_is_decoded_as_kombu_decodes_it(body: bytes, encoding: str | None, accept: set[str] | None) -> None:
    """With its types, and its errors for what is not accepted or cannot be decoded."""
    message = received(body, content_type="application/json", content_encoding=encoding)
    message.accept = accept

    assert decoded(message, type(message)._decode) == decoded(message, StockMessage._decode)  # type: ignore[attr-defined] # noqa: SLF001 kombu's hook


def test_json_is_decoded_by_the_decoder_that_an_app_has_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of kombu's."""
    registry = serialization.registry  # type: ignore[attr-defined] # celery-types lacks it
    monkeypatch.setitem(registry._decoders, "application/json", lambda _: "theirs")  # noqa: SLF001 no public name
    message = received(b"[]", content_type="application/json", content_encoding="utf-8")
    message.accept = {"application/json"}

    assert message.payload == "theirs"
