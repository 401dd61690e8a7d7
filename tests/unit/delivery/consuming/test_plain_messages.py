"""Plain messages as the clients of other languages publish them, and what a worker makes of them."""

from __future__ import annotations

import json
import uuid
from datetime import timezone
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from kombu.message import Message

from proj.delivery.consuming.consumer import Consumer
from proj.delivery.consuming.message_copy import copy
from proj.delivery.consuming.plain_messages import Adopted, adopted, adopters
from proj.delivery.validation.limits import Limits
from proj.delivery.validation.message import Refusal, refusal
from proj.errors import InvalidConfiguration
from proj.journal.generated_ids import is_generated, is_generated_on_redelivery
from tests.hostility import MESSAGES, Hostile
from tests.publishers import PUBLISHERS

app = Celery("adopting", set_as_current=False)


@app.task(name="hears")  # type: ignore[untyped-decorator] # Celery has no types
def hears(argument: object) -> None: ...


def plain(body: bytes | str, *, redelivered: bool = False, **properties: Any) -> Message:
    return Message(
        body,
        content_type=properties.get("content_type"),
        content_encoding=properties.get("content_encoding"),
        headers=properties.get("application_headers"),
        properties=properties,
        delivery_info={"redelivered": redelivered},
        accept={"application/json"},
    )


def adopt(message: Message, limits: Limits | None = None) -> Adopted | Refusal | None:
    return adopted(message, task="hears", limits=limits or Limits())


def arguments(found: Adopted | Refusal | None) -> list[Any]:
    assert isinstance(found, Adopted)
    args, kwargs, _embed = json.loads(found.body)
    assert kwargs == {}
    return list(args)


@pytest.mark.parametrize("language", PUBLISHERS)
def test_plain_message_of_each_language_becomes_a_task_with_the_text_as_its_argument(language: str) -> None:
    """With the properties that its publisher and client set, and no header of theirs taken for one of Celery's."""
    message = plain("Grüße an alle...".encode(), **PUBLISHERS[language])

    found = adopt(message)

    assert arguments(found) == ["Grüße an alle..."]
    assert isinstance(found, Adopted)
    given = Message(
        found.body,
        content_type="application/json",
        content_encoding="utf-8",
        headers=found.headers,
        properties=message.properties,
        accept={"application/json"},
    )
    assert refusal(given, tasks=app.tasks, limits=Limits(), now=0.0, zone=timezone.utc, worker="w@host") is None
    assert (found.headers["task"], found.headers["argsrepr"]) == ("hears", "('Grüße an alle...',)")
    assert not {"tenant", "get", "compression"} & found.headers.keys()
    assert found.headers["retries"] == 0


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        (b'"a text."', "a text."),
        (b'{"to": "you", "args": 1}', {"to": "you", "args": 1}),
        (b"[1, 2]", [1, 2]),
        (b" null ", None),
        (b"NaN", float("nan")),
    ],
)
def test_json_body_is_decoded_to_the_argument(body: bytes, argument: object) -> None:
    """Whatever it is, it is the only argument."""
    found = adopt(plain(body, content_type="application/json; charset=utf-8"))

    assert repr(arguments(found)) == repr([argument])


@pytest.mark.parametrize(
    "message",
    [
        plain(b"[[], {}, {}]", content_type="application/json", application_headers={"task": "hears", "id": "1"}),
        plain(b'{"task": "hears", "id": "1", "args": []}', content_type="application/json"),
        plain(b"<a/>", content_type="application/xml"),
        plain(b"\x80\x04N.", content_type="application/x-python-serialize"),
        plain(b"x", application_headers={"x-proj-unreadable": "a time that is none"}),
    ],
    ids=["protocol 2", "protocol 1", "xml", "pickle", "unreadable properties"],
)
def test_message_that_is_celerys_or_no_text_is_left_alone(message: Message) -> None:
    """It is run or refused as without adoption."""
    assert adopt(message) is None


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"caf\xe9", "text/plain", "Its body cannot be decoded as a text: 'utf-8' codec"),
        (b"\x1f\x8b\x08", None, "Its body cannot be decoded as a text"),
        (b'{"a":', "application/json", "Its body cannot be decoded as application/json"),
        (b'1], {"x": [1', "application/json", "Its body cannot be decoded as application/json"),
        (b"[" * 100_000, "application/json", "Its body cannot be decoded as application/json"),
    ],
)
def test_body_that_cannot_be_decoded_is_refused_with_the_reason(
    body: bytes, content_type: str | None, said: str
) -> None:
    """It becomes a dead letter, and never a part of a body of ours."""
    found = adopt(plain(body, content_type=content_type))

    assert isinstance(found, Refusal)
    assert found.reason.startswith(said)
    assert found.reason.endswith(".")


def test_body_beyond_the_limit_is_left_to_the_inspection() -> None:
    """Which says how many bytes are allowed."""
    assert adopt(plain(b"x" * 11), Limits(largest_bytes=10)) is None


def test_message_id_is_the_tasks_id() -> None:
    """A requester finds its own id in every log, event and dead letter."""
    found = adopt(plain(b"x", message_id="order-4711", redelivered=True))

    assert isinstance(found, Adopted)
    assert (found.id, found.headers["id"], found.headers["root_id"]) == ("order-4711", "order-4711", "order-4711")


@pytest.mark.parametrize("given_id", [None, "", "two\nlines", "é" * 128, 5])
def test_message_without_a_usable_id_gets_a_new_one(given_id: object) -> None:
    """A uuid that says that the message had none, and whether it had been delivered before."""
    first, second, again = (
        adopt(plain(b"x", message_id=given_id, redelivered=redelivered)) for redelivered in (False, False, True)
    )

    assert isinstance(first, Adopted)
    assert isinstance(second, Adopted)
    assert isinstance(again, Adopted)
    assert first.id != second.id
    assert uuid.UUID(first.id.removeprefix("plain-"))
    assert is_generated(first.id)
    assert is_generated(again.id)
    assert (is_generated_on_redelivery(first.id), is_generated_on_redelivery(again.id)) == (False, True)


def test_counts_of_the_broker_and_of_ours_stay() -> None:
    """What a message has been through counts on."""
    found = adopt(plain(b"x", application_headers={"x-delivery-count": 2, "x-proj-strikes": 1, "eta": "soon"}))

    assert isinstance(found, Adopted)
    assert (found.headers["x-delivery-count"], found.headers["x-proj-strikes"]) == (2, 1)
    assert found.headers["eta"] is None


@given(MESSAGES)
def test_adoption_answers_whatever_a_message_holds(hostile: Hostile) -> None:
    """It never raises; what it adopts is JSON, and what it refuses has a reason for people."""
    message = plain(
        hostile.body,
        **{**hostile.properties, "application_headers": hostile.headers},
    )

    found = adopt(message)

    if isinstance(found, Adopted):
        assert len(arguments(found)) == 1
        assert found.headers["task"] == "hears"
    elif found is not None:
        assert found.reason.endswith(".")
        assert found.reason.isprintable()


@pytest.mark.parametrize("value", [{}, None])
def test_nothing_is_adopted_when_nothing_is_set(value: object) -> None:
    """The default of every app."""
    assert adopters(value, tasks=(), accepted=["pickle"]) == {}


@pytest.mark.parametrize(
    ("value", "accepted", "said"),
    [
        (["task_queue"], ["json"], "proj_adopt is ['task_queue'], but must be a table"),
        ("task_queue", ["json"], "proj_adopt is 'task_queue', but must be a table"),
        ({"task_queue": None}, ["json"], "must be a table from names of queues to names of tasks"),
        ({"": "hears"}, ["json"], "must be a table"),
        ({"task_queue": "hear"}, ["json"], "of 'task_queue' to 'hear', but no such task is registered here"),
        ({"task_queue": "hears"}, ["pickle"], "which accept_content (['pickle']) must allow"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_in_one_sentence(value: object, accepted: list[str], said: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(InvalidConfiguration) as refused:
        adopters(value, tasks=app.tasks, accepted=accepted)

    assert said in refused.value.message
    assert refused.value.exit_code == 2


def adopting(queue: str, message: Message) -> Refusal | None:
    """What a worker's consumer that adopts for the queue `kept` does with a message from `queue`."""
    consumer: Any = Consumer.__new__(Consumer)
    consumer.__dict__.update(_adopters={"kept": "hears"}, _limits=Limits())
    message.delivery_info["queue"] = queue
    message.raw_body = message.body
    refused: Refusal | None = consumer.adopt(message)
    return refused


def test_suspect_is_adopted_as_in_its_own_queue_under_the_id_that_its_copy_has() -> None:
    """So a plain message that may have killed its worker is tried alone, and stays plain on its way there."""
    first = plain(b"hello.", content_type="text/plain", application_headers={"tenant": "a"})
    assert adopting("kept", first) is None

    copied = copy(first, queue="kept.suspects", headers={"x-proj-redeliveries": 2}, ours=True)
    second = plain(copied.body, **copied.properties)

    assert (copied.body, copied.properties["content_type"]) == (b"hello.", "text/plain")
    assert "task" not in copied.properties["application_headers"]
    assert adopting("kept.suspects", second) is None
    assert second.headers["id"] == first.headers["id"]
    assert (second.headers["task"], second.headers["x-proj-redeliveries"]) == ("hears", 2)


def test_message_of_another_queue_is_left_alone() -> None:
    """Only what the setting names is adopted."""
    message = plain(b"hello.")

    assert adopting("kept.fair", message) is None
    assert (message.headers, message.body) == ({}, b"hello.")
