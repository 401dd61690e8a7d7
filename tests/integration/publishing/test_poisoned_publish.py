"""One message because of which RabbitMQ closes the connection, alone and among three hundred others."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.publishing import confirm_channel
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.encoded_message import EncodedMessage
from proj.delivery.send_many import send_many
from proj.errors import PublishRefused

from .conftest import QUEUE
from .signatures import ids, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery
    from celery.canvas import Signature

    from proj.delivery.publishing.outgoing_message import OutgoingMessage
    from proj.lab.processes.proxy import Proxy

    Arrivals = Callable[..., Counter[str]]

COUNT = 300
CULPRIT = "150"
POISONS = pytest.mark.parametrize(
    "poison", [{"x-own": math.nan}, {"x-own": "x" * 131_072}], ids=["not-a-number", "too-large"]
)


def poisoned(app: Celery, poison: dict[str, Any]) -> Iterator[Signature]:
    for signature in signatures(app, COUNT):
        yield signature.set(headers=poison) if signature.options["task_id"] == CULPRIT else signature


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A connection for each confirm channel that was opened."""
    opened: list[object] = []
    init = ConfirmChannel.__init__

    def counted(channel: ConfirmChannel, connection: Any) -> None:
        opened.append(connection)
        init(channel, connection)

    monkeypatch.setattr(ConfirmChannel, "__init__", counted)
    return opened


@pytest.fixture
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused before it is written, as with a fault that we do not know."""

    def encode(outgoing: OutgoingMessage, _frame_max: int) -> EncodedMessage:
        message: Any = outgoing.message
        return EncodedMessage(message.body, message._serialize_properties(), message.properties)  # noqa: SLF001 as the real one

    monkeypatch.setattr(confirm_channel, "encode", encode)


@POISONS
def test_send_many_refuses_a_header_that_closes_connections_and_sends_all_others_once(
    app: Celery, arrivals: Arrivals, connections: list[object], poison: dict[str, Any]
) -> None:
    """The error names task and header, and no connection is lost."""
    confirmed: Counter[str] = Counter()

    with pytest.raises(PublishRefused, match=rf"Task {CULPRIT} .* 'x-own'") as caught:
        send_many(poisoned(app, poison), app=app, on_confirmed=lambda task_id: confirmed.update([task_id]))

    assert caught.value.task_ids == (CULPRIT,)
    assert arrivals() == confirmed == Counter(ids(COUNT) - {CULPRIT})
    assert len(connections) == 1


@POISONS
def test_delay_refuses_a_header_that_closes_connections_at_once(
    app: Celery, arrivals: Arrivals, poison: dict[str, Any]
) -> None:
    """The error names task and header, and the next task goes over the same connection."""
    begun = time.monotonic()

    with pytest.raises(PublishRefused, match=r"Task the-id .* 'x-own'") as caught:
        app.send_task("note", task_id="the-id", headers=poison)

    assert time.monotonic() - begun < 5
    assert caught.value.task_ids == ("the-id",)
    app.send_task("note", task_id="next")
    assert arrivals() == {"next": 1}


@POISONS
@pytest.mark.usefixtures("_unchecked")
def test_send_many_finds_the_message_because_of_which_the_broker_closes_connections(
    app: Celery,
    arrivals: Arrivals,
    connections: list[object],
    poison: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a bounded number of connections. All others are confirmed once, and none is published more than twice."""
    monkeypatch.setattr("proj.delivery.publishing.in_flight.CRASH_PAUSE_S", 0.05)
    confirmed: Counter[str] = Counter()

    with pytest.raises(PublishRefused, match=f"task {CULPRIT}") as caught:
        send_many(poisoned(app, poison), app=app, on_confirmed=lambda task_id: confirmed.update([task_id]))

    found = arrivals()
    assert caught.value.task_ids == (CULPRIT,)
    assert confirmed == Counter(ids(COUNT) - {CULPRIT})
    assert set(found) == ids(COUNT) - {CULPRIT}
    assert max(found.values()) <= 2
    assert len(connections) <= 8


@POISONS
@pytest.mark.usefixtures("_unchecked")
def test_delay_gives_up_a_message_because_of_which_the_broker_closes_connections(
    app: Celery, arrivals: Arrivals, poison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few attempts, long before the deadline; the next task is published as usual."""
    monkeypatch.setattr("proj.delivery.publishing.deadline.CRASH_PAUSE_S", 0.05)
    begun = time.monotonic()

    with pytest.raises(PublishRefused, match="task the-id"):
        app.send_task("note", task_id="the-id", headers=poison)

    assert time.monotonic() - begun < 30
    app.send_task("note", task_id="next")
    assert arrivals() == {"next": 1}


def test_no_innocent_is_published_often_when_connections_are_lost_because_of_one_message(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something between us and the broker cuts the connection with which it comes, and nobody says why."""
    app = new_app(through=proxy)
    write = ConfirmChannel.write
    written: Counter[str] = Counter()

    def cut(channel: ConfirmChannel, outgoing: OutgoingMessage) -> int:
        written[outgoing.task_id] += 1
        if outgoing.task_id == CULPRIT and written[CULPRIT] <= 6:
            proxy.cut()
        return write(channel, outgoing)

    monkeypatch.setattr(ConfirmChannel, "write", cut)

    summary = send_many(signatures(app, COUNT), app=app)

    assert summary.confirmed == COUNT
    assert set(arrivals(QUEUE)) == ids(COUNT)
    assert written.pop(CULPRIT) == 7
    assert max(written.values()) <= 3
