"""Connections over which nothing is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu.transport import pyamqp

from proj.broker.permissions.undeclared import UndeclaringChannel, UndeclaringConnection, is_of_one_process, ordered
from proj.delivery.install import install
from proj.delivery.publishing.confirm_channel import ConfirmChannel

if TYPE_CHECKING:
    from kombu.connection import ConnectionPool

URL = "amqp://nobody@127.0.0.1:1//;amqp://nobody@127.0.0.1:2//"


def channel(monkeypatch: pytest.MonkeyPatch) -> tuple[UndeclaringChannel, list[str]]:
    """A channel of an undeclaring connection that is not made, and what it would send."""
    sent: list[str] = []
    for name in ("queue_declare", "exchange_declare", "queue_bind", "exchange_bind"):
        monkeypatch.setattr(pyamqp.Channel, name, lambda _self, *_, name=name, **__: sent.append(name))
    transport: Any = UndeclaringConnection(URL).transport
    made = UndeclaringChannel.__new__(UndeclaringChannel)
    made.connection = transport.Connection(host="127.0.0.1:1")
    return made, sent


def test_nothing_that_lasts_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor bound. A passive declaration asks only."""
    made, sent = channel(monkeypatch)

    made.exchange_declare("e", "topic", durable=True)
    declared = made.queue_declare("q", durable=True, auto_delete=False)
    made.queue_bind("q", "e", "k")
    made.exchange_bind("e", "other")
    assert (declared.queue, sent) == ("q", [])

    made.queue_declare("q", passive=True)
    made.exchange_declare("e", "topic", passive=True)
    # It is still a queue of others.
    made.queue_bind("q", "e", "k")
    assert sent == ["queue_declare", "exchange_declare"]


def test_queue_of_one_process_is_declared_and_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can keep it ready."""
    made, sent = channel(monkeypatch)

    made.queue_declare("mine", exclusive=True)
    made.queue_bind("mine", "e", "k")

    assert sent == ["queue_declare", "queue_bind"]


def test_what_a_person_orders_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the mark of a paused queue."""
    made, sent = channel(monkeypatch)

    ordered(made).exchange_declare("e", "fanout", durable=True)

    assert sent == ["exchange_declare"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"exclusive": True}, True),
        ({"auto_delete": True}, True),
        ({"arguments": {"x-expires": 1}}, True),
        ({"arguments": {"x-queue-type": "quorum"}}, False),
    ],
)
def test_queue_of_one_process_is_one_that_the_broker_deletes(options: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 pytest gives it by name
    """With its connection, its last consumer, or after a time."""
    found = is_of_one_process("q", **{"exclusive": False, "auto_delete": False, "arguments": None, **options})

    assert found is expected


def test_every_connection_of_an_app_that_declares_nothing_is_of_that_kind() -> None:
    """Those of its pools too, and after another address of a cluster was chosen; not those of another app."""
    app, other = (Celery(broker=URL, set_as_current=False) for _ in range(2))
    app.conf.proj_declare = False
    for each in (app, other):
        install(each)
    pools: list[ConnectionPool] = [app.connection_for_write().Pool(1), app.amqp.producer_pool.connections]
    made = [app.connection_for_read(), *(pool.new() for pool in pools)]
    for connection in (*made, made[0].clone()):
        connection.switch("amqp://nobody@127.0.0.1:2//")
        assert issubclass(connection.transport.Connection.Channel, UndeclaringChannel)

    theirs = other.connection_for_read()
    assert not isinstance(theirs, UndeclaringConnection)
    assert not issubclass(theirs.transport.Connection.Channel, UndeclaringChannel)
    # kombu has a pool for each broker of a process.
    assert made[0].__eqhash__() != theirs.__eqhash__()
    assert issubclass(ConfirmChannel, UndeclaringChannel)
