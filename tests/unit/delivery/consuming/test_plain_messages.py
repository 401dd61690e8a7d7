"""Plain messages as clients of other languages publish them, converted to task messages."""

from __future__ import annotations

import json
import uuid
from datetime import timezone
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from hypothesis import given
from kombu.message import Message

from proj.broker.version import BrokerVersion
from proj.delivery.consuming.inspection import Inspection
from proj.delivery.consuming.message_copy import copy
from proj.delivery.consuming.plain_messages import TaskMessage, convert, tasks_for_plain_messages
from proj.delivery.settings import provide_defaults
from proj.delivery.validation.limits import Limits
from proj.delivery.validation.message import Refusal, inspect
from proj.errors import InvalidConfiguration
from proj.journal.generated_ids import is_generated, is_generated_on_redelivery
from tests.hostility import MESSAGES, Hostile
from tests.publishers import PUBLISHERS
from tests.unit.delivery.consuming.received import received

if TYPE_CHECKING:
    from proj.delivery.consuming.receiving import Delivery, KeptMessage

app = Celery("plain", set_as_current=False)
provide_defaults(app)
app.conf.proj_adopt = {"kept": "hears"}


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


def converted(message: Message, limits: Limits | None = None) -> TaskMessage | Refusal | None:
    return convert(message, task="hears", limits=limits or Limits())


def arguments(found: TaskMessage | Refusal | None) -> list[Any]:
    assert isinstance(found, TaskMessage)
    args, kwargs, _embed = json.loads(found.body)
    assert kwargs == {}
    return list(args)


@pytest.mark.parametrize("language", PUBLISHERS)
def test_plain_message_of_each_language_becomes_a_task_with_the_text_as_its_argument(language: str) -> None:
    """Whatever properties its client sets; no header of the client is taken for one of Celery's."""
    message = plain("Grüße an alle...".encode(), **PUBLISHERS[language])

    found = converted(message)

    assert arguments(found) == ["Grüße an alle..."]
    assert isinstance(found, TaskMessage)
    given = Message(
        found.body,
        content_type="application/json",
        content_encoding="utf-8",
        headers=found.headers,
        properties=message.properties,
        accept={"application/json"},
    )
    seen = inspect(given, tasks=app.tasks, limits=Limits(), now=0.0, zone=timezone.utc, worker="w@host")
    assert seen.refusal is None
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
    found = converted(plain(body, content_type="application/json; charset=utf-8"))

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
def test_message_that_is_celerys_or_no_text_is_not_converted(message: Message) -> None:
    """It is inspected as any other message."""
    assert converted(message) is None


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
    """It becomes a dead letter, and is never pasted into a body of ours."""
    found = converted(plain(body, content_type=content_type))

    assert isinstance(found, Refusal)
    assert found.reason.startswith(said)
    assert found.reason.endswith(".")


def test_body_beyond_the_limit_is_left_to_the_inspection() -> None:
    """The inspection's reason says how many bytes are allowed."""
    assert converted(plain(b"x" * 11), Limits(largest_bytes=10)) is None


def test_message_id_becomes_the_tasks_id() -> None:
    """The publisher finds its own id in every log line, event and dead letter."""
    found = converted(plain(b"x", message_id="order-4711", redelivered=True))

    assert isinstance(found, TaskMessage)
    assert (found.id, found.headers["id"], found.headers["root_id"]) == ("order-4711", "order-4711", "order-4711")


@pytest.mark.parametrize("given_id", [None, "", "two\nlines", "é" * 128, 5])
def test_message_without_a_usable_id_gets_a_new_one(given_id: object) -> None:
    """Its prefix says that the message had none, and whether it had been delivered before."""
    first, second, again = (
        converted(plain(b"x", message_id=given_id, redelivered=redelivered)) for redelivered in (False, False, True)
    )

    assert isinstance(first, TaskMessage)
    assert isinstance(second, TaskMessage)
    assert isinstance(again, TaskMessage)
    assert first.id != second.id
    assert uuid.UUID(first.id.removeprefix("plain-"))
    assert is_generated(first.id)
    assert is_generated(again.id)
    assert (is_generated_on_redelivery(first.id), is_generated_on_redelivery(again.id)) == (False, True)


def test_counts_of_attempts_are_kept() -> None:
    """The history of a message goes on."""
    found = converted(plain(b"x", application_headers={"x-delivery-count": 2, "x-proj-strikes": 1, "eta": "soon"}))

    assert isinstance(found, TaskMessage)
    assert (found.headers["x-delivery-count"], found.headers["x-proj-strikes"]) == (2, 1)
    assert found.headers["eta"] is None


@given(MESSAGES)
def test_conversion_answers_whatever_a_message_holds(hostile: Hostile) -> None:
    """It never raises; a converted message is JSON, and a refused one has a printable reason."""
    message = plain(
        hostile.body,
        **{**hostile.properties, "application_headers": hostile.headers},
    )

    found = converted(message)

    if isinstance(found, TaskMessage):
        assert len(arguments(found)) == 1
        assert found.headers["task"] == "hears"
    elif found is not None:
        assert found.reason.endswith(".")
        assert found.reason.isprintable()


@pytest.mark.parametrize("value", [{}, None])
def test_no_plain_message_is_run_when_nothing_is_set(value: object) -> None:
    """The default of every app."""
    assert tasks_for_plain_messages(value, tasks=(), accepted=["pickle"]) == {}


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
    """The sentence says what is wrong with it."""
    with pytest.raises(InvalidConfiguration) as refused:
        tasks_for_plain_messages(value, tasks=app.tasks, accepted=accepted)

    assert said in refused.value.message
    assert refused.value.exit_code == 2


def inspected(message: KeptMessage, queue: str) -> Delivery:
    """The message as a worker finds it that runs the plain messages of the queue `kept` with the task `hears`."""
    message.accept = {"application/json"}
    return Inspection(app, worker="w@host").inspect(message, queue=queue, version=BrokerVersion(4, 3))


def test_quarantined_plain_message_is_converted_under_the_same_id() -> None:
    """A plain message that may have killed its worker is run alone, and stays plain on its way there."""
    first = received(b"hello.", content_type="text/plain", application_headers={"tenant": "a"})
    first.delivery = inspected(first, "kept")
    assert (first.delivery.refusal, first.delivery.queue) == (None, "kept")

    copied = copy(first, queue="kept.suspects", headers={"x-proj-redeliveries": 2}, ours=True)
    second = received(copied.body, **copied.properties)
    found = inspected(second, "kept.suspects")

    assert (copied.body, copied.properties["content_type"]) == (b"hello.", "text/plain")
    assert "task" not in copied.properties["application_headers"]
    assert (found.refusal, found.home, found.history.lost_workers) == (None, "kept", 2)
    assert second.headers["id"] == first.headers["id"]
    assert (second.headers["task"], second.headers["x-proj-redeliveries"]) == ("hears", 2)


def test_plain_message_of_another_queue_is_not_converted() -> None:
    """Only the queues of the setting have a task for their plain messages."""
    message = received(b"hello.", content_type="text/plain")

    found = inspected(message, "kept.fair")

    assert found.refusal is not None
    assert (message.headers, message.body) == ({}, b"hello.")
