"""A worker whose consumers the broker does not have any more, on a real broker."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.exceptions import RecoverableConnectionError
from celery import Celery, bootsteps
from kombu import Connection, Queue

from proj.broker.queue_counts import CountChannel
from proj.delivery.recovery.lost_consumers import LostConsumers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker


def consumer_of(task_consumer: Any, connection: Connection, *, again: Any = None) -> Any:
    """The parts of a worker's consumer that the step uses; `check` makes a round and the turns of the loop after it."""
    checks: list[Any] = []
    soon: deque[tuple[Any, ...]] = deque()

    def check() -> None:
        for one in checks:
            one()
        while soon:
            call, *arguments = soon.popleft()
            call(*arguments)
            while CountChannel.of_connection(connection.connection).is_asking:
                connection.drain_events(timeout=10)

    return SimpleNamespace(
        app=Celery(set_as_current=False),
        connection=connection,
        blueprint=SimpleNamespace(state=bootsteps.RUN),
        task_consumer=task_consumer,
        rounds=SimpleNamespace(every=lambda _, check: checks.append(check)),
        timer=SimpleNamespace(
            call_after=lambda _, check, arguments: again(check, arguments) if again else check(*arguments)
        ),
        call_soon=lambda *call: soon.append(call),
        check=check,
    )


@contextmanager
def believed(task_consumer: Any) -> Iterator[dict[str, str]]:
    """The broker has no consumer any more, and the worker believes to have it."""
    tags: dict[str, str] = task_consumer._active_tags  # noqa: SLF001 kombu tells it nowhere else
    before = dict(tags)
    task_consumer.cancel()
    tags.update(before)
    yield tags
    tags.clear()


def test_worker_reconnects_when_the_broker_has_lost_its_consumer(
    broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error ends the worker's loop, and Celery reconnects on it."""
    with (
        Connection(broker.url(vhost)) as connection,
        connection.Consumer([Queue("idle", durable=True)], callbacks=[print]) as task_consumer,
    ):
        consumer = consumer_of(task_consumer, connection)
        LostConsumers(consumer).start(consumer)
        consumer.check()

        with (
            believed(task_consumer),
            caplog.at_level(logging.ERROR),
            pytest.raises(RecoverableConnectionError, match="no consumer of idle"),
        ):
            consumer.check()

    assert [getattr(record, "action", None) for record in caplog.records] == ["consumers_lost"]


def test_worker_reconnects_when_its_queue_is_gone(broker: Broker, vhost: str) -> None:
    """The broker has no such queue, so it has no consumer either; the other queue is asked for all the same."""
    with (
        Connection(broker.url(vhost)) as connection,
        connection.Consumer([Queue("gone", durable=True), Queue("idle", durable=True)]) as task_consumer,
    ):
        consumer = consumer_of(task_consumer, connection)
        LostConsumers(consumer).start(consumer)
        with believed(task_consumer):
            connection.default_channel.queue_delete("gone")

            with pytest.raises(RecoverableConnectionError, match="no consumer of gone"):
                consumer.check()


def test_consumer_that_was_opened_meanwhile_is_not_taken_for_lost(
    broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In adaptive dispatch a worker has just told the broker of a consumer, or has cancelled it, when it is asked."""
    with (
        Connection(broker.url(vhost)) as connection,
        connection.Consumer([Queue("idle", durable=True)], callbacks=[print]) as task_consumer,
        believed(task_consumer) as tags,
    ):
        asked: list[str] = []

        def again(check: Any, arguments: Any) -> None:
            asked.append("again")
            tags.clear()
            task_consumer.consume()
            check(*arguments)

        consumer = consumer_of(task_consumer, connection, again=again)
        LostConsumers(consumer).start(consumer)
        with caplog.at_level(logging.ERROR):
            consumer.check()

    assert asked == ["again"]
    assert not caplog.records
