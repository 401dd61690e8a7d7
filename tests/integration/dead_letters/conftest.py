"""An app with dead letters on a virtual host of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection

from proj.delivery.dead_letters.queue import DeadLetterQueue
from tests.integration.dead_letters.letters import (
    WORK,
    Read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker


@pytest.fixture
def url(broker: Broker, vhost: str) -> str:
    return broker.url(vhost)


@pytest.fixture
def app(url: str) -> Celery:
    return Celery("test", broker=url)


@pytest.fixture
def read(app: Celery, broker: Broker) -> Read:
    """A reader that has the management API of the broker, which RabbitMQ 4.0 needs to tell the delivery limit."""
    return functools.partial(DeadLetterQueue, app, management=broker.management)


@pytest.fixture
def channel(url: str) -> Iterator[Any]:
    with Connection(url) as connection:
        channel = connection.default_channel
        channel.confirm_select()
        channel.queue_declare(WORK, durable=True, auto_delete=False)
        yield channel
