"""A worker whose consumers the broker does not have any more, on a real broker."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.exceptions import RecoverableConnectionError
from celery import Celery, bootsteps
from kombu import Connection, Queue

from proj.delivery.recovery.lost_consumers import LostConsumers, queues_without_consumers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker


@pytest.fixture
def connection(broker: Broker, vhost: str) -> Iterator[Connection]:
    """A connection to a virtual host with the queues `consumed` and `idle`."""
    with Connection(broker.url(vhost)) as connection:
        for name in ("consumed", "idle"):
            connection.default_channel.queue_declare(name, durable=True, auto_delete=False)
        yield connection


def consumer_of(task_consumer: Any, connection: Connection, *, asks_over: Connection, again: Any = None) -> Any:
    """The parts of a worker's consumer that the step uses; it runs at once what a worker would run in its loop."""
    checks: list[Any] = []
    return SimpleNamespace(
        app=Celery(set_as_current=False),
        connection=connection,
        blueprint=SimpleNamespace(state=bootsteps.RUN),
        task_consumer=task_consumer,
        forwarder=SimpleNamespace(ask=lambda question: question(asks_over.connection)),
        rounds=SimpleNamespace(every=lambda _, check: checks.append(check)),
        timer=SimpleNamespace(
            call_after=lambda _, check, arguments: again(check, arguments) if again else check(*arguments)
        ),
        call_soon=lambda call, *arguments: call(*arguments),
        check=lambda: [check() for check in checks],
    )


def test_queues_without_a_consumer_and_missing_queues_are_found(connection: Connection) -> None:
    """Each is asked on its own channel, because the broker closes the channel for a missing queue."""
    with connection.Consumer([Queue("consumed", no_declare=True)], callbacks=[print]):
        found = queues_without_consumers(connection.connection, ["missing", "consumed", "idle"])

    assert found == ["missing", "idle"]


def test_worker_reconnects_when_the_broker_has_lost_its_consumer(
    connection: Connection, broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error ends the worker's loop, and Celery reconnects on it."""
    with (
        Connection(broker.url(vhost)) as other,
        Connection(broker.url(vhost)) as workers,
        workers.Consumer([Queue("idle", no_declare=True)], callbacks=[print]) as task_consumer,
    ):
        consumer = consumer_of(task_consumer, workers, asks_over=other)
        LostConsumers(consumer).start(consumer)
        other.connect()
        consumer.check()
        # The worker has not read the broker's notification yet.
        connection.default_channel.queue_delete("idle")
        connection.default_channel.queue_declare("idle", durable=True, auto_delete=False)

        with caplog.at_level(logging.ERROR), pytest.raises(RecoverableConnectionError, match="no consumer of idle"):
            consumer.check()
        workers.collect()

    assert [getattr(record, "action", None) for record in caplog.records] == ["consumers_lost"]


def test_consumer_that_was_opened_meanwhile_is_not_taken_for_lost(
    broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In adaptive dispatch a worker has just told the broker of a consumer, or has cancelled it, when it is asked."""
    with (
        Connection(broker.url(vhost)) as other,
        Connection(broker.url(vhost)) as workers,
        workers.Consumer([Queue("idle", durable=True)], callbacks=[print]) as task_consumer,
    ):
        # What the worker believes before the broker knows of it.
        tags: dict[str, str] = task_consumer._active_tags  # type: ignore[attr-defined] # noqa: SLF001 kombu tells it nowhere else
        believed = dict(tags)
        task_consumer.cancel()
        tags.update(believed)
        asked: list[str] = []

        def again(check: Any, arguments: Any) -> None:
            asked.append("again")
            tags.clear()
            task_consumer.consume()
            check(*arguments)

        consumer = consumer_of(task_consumer, workers, asks_over=other, again=again)
        LostConsumers(consumer).start(consumer)
        other.connect()
        with caplog.at_level(logging.ERROR):
            consumer.check()

    assert asked == ["again"]
    assert not caplog.records
