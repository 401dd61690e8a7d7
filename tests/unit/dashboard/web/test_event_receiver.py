"""Flower's event receiver while the broker is away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import kombu.utils.functional
from celery import Celery
from kombu import Connection

from proj.dashboard.web.event_receiver import RETRY_S, EventReceiver

if TYPE_CHECKING:
    import pytest

ATTEMPTS = 60


def test_broker_is_tried_every_few_seconds_however_long_it_was_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Flower would try again after 2, 4, 8 seconds and so on, and hear nothing meanwhile. One warning is enough."""
    slept: list[float] = []
    monkeypatch.setattr(kombu.utils.functional, "sleep", slept.append)
    # As those of RabbitMQ's transport; the one in memory has none.
    monkeypatch.setattr(Connection, "recoverable_connection_errors", (OSError,))
    app = Celery("theirs", broker="memory://", set_as_current=False)
    with app.connection() as connection, caplog.at_level(logging.DEBUG):
        assert isinstance(connection, Connection)
        connect, refused = connection._connection_factory, iter(range(ATTEMPTS))  # noqa: SLF001 kombu's own way to connect

        def connect_later() -> object:
            if next(refused, None) is not None:
                raise ConnectionRefusedError
            return connect()

        monkeypatch.setattr(connection, "_connection_factory", connect_later)
        EventReceiver(connection, app=app, handlers={})

    assert sum(slept) == ATTEMPTS * RETRY_S
    assert max(slept) <= RETRY_S
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [getattr(record, "action", None) for record in warnings] == ["broker_away"]
