"""What a copy of a message says, and when its original may be acknowledged."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import MessageNacked, RecoverableConnectionError

from proj.delivery.consuming import forwarder
from proj.delivery.consuming.forwarder import Forwarder
from proj.delivery.consuming.message_copy import Parcel, copy, letter, restore_origin
from proj.lab.processes.waiting import wait_until


def received(**headers: Any) -> Any:
    return SimpleNamespace(
        raw_body=b"body",
        headers=headers,
        properties={
            "application_headers": headers,
            "content_type": "application/json",
            "expiration": "5",
            "user_id": "somebody",
        },
        delivery_info={"exchange": "tasks", "routing_key": "task_queue.high"},
        channel=SimpleNamespace(is_open=True),
    )


def test_copy_has_all_of_its_original_but_what_would_harm_it() -> None:
    """It neither expires, nor is copied to other queues again, nor refused for its sender's name."""
    sent = copy(
        received(id="1", CC=["elsewhere"], **{"x-delivery-count": 2}),
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
    }


def test_copy_that_is_received_says_where_its_original_was_published() -> None:
    """So that Celery publishes a retry of it there, and a copy of the copy tells the same."""
    first = copy(received(id="1"), queue="q", headers={}, ours=False)
    again = received(**first.properties["application_headers"])
    again.delivery_info = {"exchange": "", "routing_key": "q"}

    restore_origin(again)

    assert again.delivery_info == {"exchange": "tasks", "routing_key": "task_queue.high"}
    second = copy(again, queue="q", headers={}, ours=False)
    assert second.properties["application_headers"]["x-proj-exchange"] == "tasks"


def test_letter_says_why_and_where_it_was_given_up() -> None:
    """In the headers that dead letters are read by."""
    sent = letter(
        received(id="1"), dead_letters="dead", reason="It fell.", queue="q", worker="w@host", time=1.5, attempts=3
    )

    assert sent.queue == "dead"
    assert sent.properties["application_headers"] == {
        "id": "1",
        "x-proj-reason": "It fell.",
        "x-proj-queue": "q",
        "x-proj-worker": "w@host",
        "x-proj-time": 1.5,
        "x-proj-attempts": 3,
    }


class Wire:
    """A broker that answers each publish with what is next in a list: an error to raise, or None."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.published: list[Any] = []
        self.is_open = True
        self.connection = self
        self.events = {"basic_return": set[Any]()}

    def connect(self) -> None: ...

    def channel(self) -> Wire:
        return self

    def collect(self, socket_timeout: float) -> None: ...

    def basic_publish_confirm(self, message: Any, **_: Any) -> None:
        self.published.append(message)
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def forward(wire: Wire, parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> list[Parcel]:
    monkeypatch.setattr(forwarder, "_FIRST_PAUSE_S", 0.01)
    delivered: list[Parcel] = []
    with Forwarder(lambda: wire, delivered.append) as service:  # type: ignore[arg-type,return-value] # as little of one as is used
        service.send(parcel)
        wait_until(lambda: service.pending == 0, what="the copy to be done with", timeout_s=5)
    return delivered


@pytest.mark.parametrize("refused", [MessageNacked(), RecoverableConnectionError(), OSError(), TimeoutError()])
def test_copy_is_published_again_until_it_is_confirmed(refused: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then is its original acknowledged."""
    wire = Wire(refused, refused, None)
    parcel = copy(received(), queue="q", headers={}, ours=False)

    assert forward(wire, parcel, monkeypatch) == [parcel]
    assert len(wire.published) == 3


def test_copy_is_left_when_the_broker_has_taken_its_original_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given again; a copy would be one too many."""
    wire = Wire()
    parcel = copy(received(), queue="q", headers={}, ours=False)
    parcel.original.channel.is_open = False

    assert forward(wire, parcel, monkeypatch) == []
    assert wire.published == []


def test_letter_keeps_its_reason_when_nothing_else_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Properties that AMQP cannot carry are left, and the sentence says so."""
    wire = Wire(struct.error("ubyte format requires 0 <= number <= 255"), None)
    parcel = letter(received(id="1"), dead_letters="dead", reason="It fell.", queue="q", worker="w", time=1, attempts=1)

    assert forward(wire, parcel, monkeypatch) == [parcel]
    kept = wire.published[-1].properties["application_headers"]
    assert kept["x-proj-reason"] == "It fell. Its own headers could not be kept."
    assert "id" not in kept
