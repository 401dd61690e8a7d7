"""The copy of a message, and when its original may be acknowledged."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from amqp.exceptions import MessageNacked, RecoverableConnectionError

from proj.delivery.consuming import forwarder
from proj.delivery.consuming.forwarder import Forwarder
from proj.delivery.consuming.message_copy import MessageCopy, copy, letter
from proj.lab.processes.waiting import wait_until
from tests.unit.delivery.consuming.received import received

HEADERS = {"id": "1", "CC": ["elsewhere"], "x-delivery-count": 2}


def test_copy_has_all_properties_but_those_that_would_harm_it() -> None:
    """It does not expire, is not copied to other queues again, and is not refused for its sender's user name."""
    sent = copy(
        received(content_type="application/json", expiration="5", user_id="somebody", application_headers=HEADERS),
        queue="q.suspects",
        headers={"x-proj-redeliveries": 2},
        ours=True,
    )

    assert sent.body == b"body"
    assert sent.properties["content_type"] == "application/json"
    assert sent.properties["delivery_mode"] == 2
    assert not {"expiration", "user_id"} & sent.properties.keys()
    assert sent.properties["application_headers"] == {
        "id": "1",
        "x-proj-redeliveries": 2,
        "x-proj-exchange": "tasks",
        "x-proj-routing-key": "task_queue.high",
        "x-proj-copies": 1,
    }


def test_copy_says_which_dead_lettering_its_counts_do_not_include() -> None:
    """It is in a queue where RabbitMQ counts from 0, and keeps the `x-death` of its original."""
    deaths = [{"queue": "work", "reason": "rejected", "count": 1, "time": 5}]

    sent = copy(received(application_headers={"x-death": deaths}), queue="q", headers={}, ours=False)

    assert sent.properties["application_headers"]["x-death"] == deaths
    assert sent.properties["application_headers"]["x-proj-last-death"] == "work rejected 1 5"


def test_received_copy_says_where_its_original_was_published() -> None:
    """Celery publishes a retry there, and a copy of the copy says the same."""
    first = copy(received(), queue="q", headers={}, ours=False)

    again = received(exchange="", routing_key="q", application_headers=first.properties["application_headers"])

    assert (again.delivery_info["exchange"], again.delivery_info["routing_key"]) == ("tasks", "task_queue.high")
    second = copy(again, queue="q", headers={}, ours=False)
    assert second.properties["application_headers"]["x-proj-copies"] == 2
    assert second.properties["application_headers"]["x-proj-exchange"] == "tasks"


def test_dead_letter_says_why_and_where_it_was_dead_lettered() -> None:
    """In the headers that `queues dead` reads; a quarantined message names the queue that it came from."""
    headers = {"id": "1", "x-proj-redeliveries": 2}
    message = received(queue="q.suspects", application_headers=headers)

    sent = letter(message, dead_letters="dead", reason="It fell.", worker="w@host", time=1.5)

    assert sent.queue == "dead"
    assert sent.properties["application_headers"] == {
        **headers,
        "x-proj-reason": "It fell.",
        "x-proj-queue": "q",
        "x-proj-worker": "w@host",
        "x-proj-time": 1.5,
        "x-proj-attempts": 3,
    }


class Wire:
    """A broker that answers each publish with the next of a list: an error to raise, or None."""

    #: It has no heartbeats.
    connected = False

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.published: list[Any] = []
        self.is_open = True
        self.connection = self
        self.events = {"basic_return": set[Any]()}

    alt: tuple[str, ...] = ()

    def ensure_connection(self, **_: object) -> None: ...

    def channel(self) -> Wire:
        return self

    def collect(self, socket_timeout: float) -> None: ...

    def basic_publish_confirm(self, message: Any, **_: Any) -> None:
        self.published.append(message)
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def forward(wire: Wire, moved: MessageCopy, monkeypatch: pytest.MonkeyPatch) -> list[MessageCopy]:
    monkeypatch.setattr(forwarder, "_FIRST_PAUSE_S", 0.01)
    delivered: list[MessageCopy] = []
    with Forwarder(lambda: wire, delivered.append) as service:  # type: ignore[arg-type,return-value] # the part of a connection that is used
        service.send(moved)
        wait_until(lambda: service.pending == 0, what="the copy to be done with", timeout_s=5)
    return delivered


@pytest.mark.parametrize("refused", [MessageNacked(), RecoverableConnectionError(), OSError(), TimeoutError()])
def test_copy_is_published_again_until_it_is_confirmed(refused: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its original is acknowledged only then."""
    wire = Wire(refused, refused, None)
    moved = copy(received(), queue="q", headers={}, ours=False)

    assert forward(wire, moved, monkeypatch) == [moved]
    assert len(wire.published) == 3


class FullQueue(Wire):
    """A broker whose queue was full: each channel that it has refused it refuses for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = 0

    def channel(self) -> Wire:
        self.channels += 1
        return self

    def close(self) -> None: ...

    def basic_publish_confirm(self, message: Any, **_: Any) -> None:
        self.published.append(message)
        if self.channels == 1:
            raise MessageNacked


def test_copy_is_published_over_another_channel_when_one_is_refused_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ 3.10 goes on to refuse over the channel of a full queue when the limit of the queue is removed."""
    monkeypatch.setattr(forwarder, "REFUSED_S", 0.02)
    wire = FullQueue()
    moved = copy(received(), queue="q", headers={}, ours=False)

    assert forward(wire, moved, monkeypatch) == [moved]
    assert wire.channels == 2
    assert len(wire.published) >= 2


def test_copy_is_not_published_when_the_broker_has_taken_its_original_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker redelivers it; a copy would be run as well."""
    wire = Wire()
    moved = copy(received(), queue="q", headers={}, ours=False)
    channel: Any = moved.original.channel
    channel.is_open = False

    assert forward(wire, moved, monkeypatch) == []
    assert wire.published == []


def test_dead_letter_keeps_its_reason_when_nothing_else_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Properties that AMQP cannot carry are left out, and the reason says so."""
    wire = Wire(struct.error("ubyte format requires 0 <= number <= 255"), None)
    moved = letter(
        received(application_headers={"id": "1"}), dead_letters="dead", reason="It fell.", worker="w", time=1
    )

    assert forward(wire, moved, monkeypatch) == [moved]
    kept = wire.published[-1].properties["application_headers"]
    assert kept["x-proj-reason"] == "It fell. Its own headers could not be kept."
    assert "id" not in kept
