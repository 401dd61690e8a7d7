"""One dead letter: the headers that are written, and what is read from any message."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as some

from proj.delivery.dead_letters import export
from proj.delivery.dead_letters.headers import copy_properties, dead_letter_headers, requeue_headers
from proj.delivery.dead_letters.letter import read_letter
from proj.delivery.header_names import ATTEMPTS, EXCHANGE, QUEUE, REASON, ROUTING_KEY
from proj.errors import ProjError
from proj.printable import printable

#: All values that py-amqp reads; some of them it cannot write.
VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(min_value=-(2**63), max_value=2**64 - 1)
    | some.floats()
    | some.text()
    | some.binary()
    | some.decimals()
    # Whole seconds without a time zone.
    | some.integers(min_value=0, max_value=2**37).map(lambda second: datetime(1970, 1, 1) + timedelta(seconds=second)),  # noqa: DTZ001 as py-amqp's
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
OUR_NAMES = some.sampled_from(["id", "task", "argsrepr", "kwargsrepr", "x-death", "x-delivery-count", REASON, QUEUE])
HEADERS = some.dictionaries(OUR_NAMES | some.text(max_size=20) | some.binary(max_size=20), VALUES, max_size=8)


def message(headers: Any, body: Any = b"", **properties: Any) -> Any:
    return SimpleNamespace(properties={"application_headers": headers, **properties}, body=body)


def ours(headers: Any) -> dict[Any, Any]:
    return dead_letter_headers(headers, reason="It was no good.", queue="q", worker="w@x", time=1.5, attempts=3)


@given(HEADERS)
def test_headers_of_a_dead_letter_can_be_written_and_read_again(headers: dict[Any, Any]) -> None:
    """Whatever was sent, the letter can be published and says why it was dead-lettered."""
    written = ours(headers)

    assert dumps("F", [written])
    letter = read_letter(message(written))
    assert (letter.reason, letter.queue, letter.worker) == ("It was no good.", "q", "w@x")
    assert (letter.time, letter.attempts) == (1.5, 3)


@given(HEADERS, some.binary() | some.text())
def test_reading_a_letter_never_fails_and_is_safe_to_print(headers: dict[Any, Any], body: bytes | str) -> None:
    """Every message gives an id, and no text has an escape sequence for the terminal."""
    letter = read_letter(message(headers, body))

    assert letter.id
    for text in (letter.id, letter.task or "", letter.arguments, letter.reason, letter.queue or ""):
        assert text == printable(text)


@given(VALUES)
def test_export_keeps_every_value_of_amqp(value: Any) -> None:
    """A type that JSON lacks is written so that it cannot be confused with another value."""
    text = json.dumps(export.to_json({"value": value}))

    read = export.from_json(json.loads(text))

    assert repr(read) == repr({"value": value})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        '{"dead_letter": 1, "id": "a", "properties": {}, "body": "?"}',
        '{"dead_letter": 2, "id": "a", "properties": {}, "body": ""}',
        '{"dead_letter": 1, "id": "a", "properties": {"x": {"$time": 1e99}}, "body": ""}',
        '{"dead_letter": 1, "id": "a", "properties": {"x": {"$decimal": "one"}}, "body": ""}',
    ],
)
def test_line_that_is_not_an_exported_letter_is_refused_with_its_number(line: str) -> None:
    """So that the line can be found in the file."""
    with pytest.raises(ProjError, match="Line 7 is"):
        export.from_line(line, number=7)


def test_headers_that_do_not_fit_into_a_frame_are_cut() -> None:
    """A frame of more than 128 KiB ends the connection."""
    assert len(dumps("F", [ours({"long": "x" * 130_000, "id": "stays"})])) < 120_000
    assert len(dumps("F", [ours({f"h{number}": "x" * 20 for number in range(5_000)})])) < 120_000
    assert ours({"long": "x" * 130_000, "id": "stays"})["id"] == "stays"


def test_value_that_py_amqp_cannot_write_is_kept_as_text() -> None:
    """Such as an unsigned 64-bit number, which it can read. Other headers stay as they are."""
    written = ours({"unsigned": 2**64 - 1, "odd": Decimal("NaN"), "plain": 7})

    assert (written["unsigned"], written["odd"], written["plain"]) == ("18446744073709551615", "Decimal('NaN')", 7)


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        ("delivery_limit", "more often than"),
        ("rejected", "rejected it"),
        ("expired", "longer than it may live"),
        ("maxlen", "full"),
        ("new_in_rabbitmq_9", "new_in_rabbitmq_9"),
    ],
)
def test_reason_of_the_broker_becomes_a_sentence(cause: str, sentence: str) -> None:
    """From x-death, whose latest entry is the first."""
    deaths = [
        {"reason": cause, "queue": "latest", "time": datetime(2026, 1, 1)},  # noqa: DTZ001 py-amqp's are without a zone
        {"reason": "rejected", "queue": "earlier"},
    ]

    letter = read_letter(message({"x-death": deaths}))

    assert sentence in letter.reason
    assert letter.reason.endswith(".")
    assert (letter.queue, letter.time) == ("latest", 1767225600.0)


def test_our_reason_is_read_before_the_brokers() -> None:
    """A message that was dead-lettered twice says why the last time, which was by a worker."""
    letter = read_letter(message(ours({"x-death": [{"reason": "rejected", "queue": "earlier"}]})))

    assert (letter.reason, letter.queue) == ("It was no good.", "q")


def test_letter_without_an_id_has_the_same_digest_at_every_look() -> None:
    """The broker's counts change with each look (on RabbitMQ 4.3 two counts). Another letter has another digest."""
    first = read_letter(message({"x-delivery-count": 1}, b"one")).id

    assert read_letter(message({"x-delivery-count": 2, "x-acquired-count": 2}, b"one")).id == first
    assert read_letter(message({"x-delivery-count": 1}, b"two")).id != first


def test_requeued_letter_has_no_headers_of_earlier_deliveries() -> None:
    """So the counts of killed processes and of redeliveries begin at zero again."""
    headers = ours({"id": "a", "x-death": [], "x-first-death-queue": "q", "x-proj-strikes": 3, "x-delivery-count": 9})

    assert requeue_headers(headers) == {"id": "a"}


def test_requeued_letter_says_where_its_sender_published_it() -> None:
    """It is published straight to its queue, but a retry of the task goes where the sender published it."""
    death = {"reason": "rejected", "queue": "q.suspects", "exchange": "tasks", "routing-keys": ["q"]}
    headers = {"id": "a", "x-death": [death]}

    assert read_letter(message(headers)).queue == "q"
    assert requeue_headers(headers) == {"id": "a", EXCHANGE: "tasks", ROUTING_KEY: "q"}
    assert requeue_headers(ours({**headers, EXCHANGE: "first", ROUTING_KEY: "one"}))[EXCHANGE] == "first"


def test_copy_does_not_expire_and_may_be_published_by_any_user() -> None:
    """The broker checks a user id and sends copies to CC; it counts the deliveries of the copy anew."""
    headers = {ATTEMPTS: 1, "CC": ["another"], "BCC": ["yet another"], "x-delivery-count": 3, "x-acquired-count": 3}
    kept = copy_properties({"expiration": "1000", "user_id": "them", "priority": 3, "application_headers": headers})

    assert kept == {"priority": 3, "application_headers": {ATTEMPTS: 1}, "delivery_mode": 2}
