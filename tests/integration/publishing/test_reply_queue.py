"""The reply queue of `rpc://`: it is there when a task is sent, and results come after a connection was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.app.task import Context
from kombu import Connection

from proj.broker.queue_depths import depths_by_declare
from proj.errors import QueueMismatch
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy


def test_result_is_awaited_over_another_connection_when_the_last_one_was_lost(
    proxy: Proxy, new_app: Callable[..., Celery], broker: Broker, vhost: str
) -> None:
    """Celery's own consumer of results raises for each further one."""
    app = new_app(through=proxy, result_backend="rpc://")
    with Connection(broker.url(vhost)) as connection:
        for number in range(2):
            result = app.tasks["note"].delay()
            caller = Context(reply_to=app.thread_oid, correlation_id=result.id)
            app.backend.store_result(result.id, number, "SUCCESS", request=caller)

            assert result.get(timeout=60) == number
            if not number:
                proxy.cut()
                # The broker deletes the reply queue when it knows that its consumer is gone.
                wait_until(
                    lambda: not depths_by_declare(connection, [app.thread_oid]), what="the end of it", timeout_s=60
                )


def test_delay_declares_the_reply_queue_each_time(new_app: Callable[..., Celery], broker: Broker, vhost: str) -> None:
    """With the task and over one channel: the broker may have deleted it since, and the result would be lost."""
    app = new_app(result_backend="rpc://")
    with Connection(broker.url(vhost)) as connection, connection.channel() as channel:
        for _ in range(2):
            app.tasks["note"].delay()

            channel.queue_delete(app.backend.oid)  # type: ignore[attr-defined] # celery-types lacks it


def test_delay_raises_when_its_reply_queue_has_other_arguments(
    new_app: Callable[..., Celery], broker: Broker, vhost: str
) -> None:
    """The broker answers such a declaration by closing the channel."""
    app = new_app(result_backend="rpc://")
    with Connection(broker.url(vhost)) as connection, connection.channel() as channel:
        channel.queue_declare(app.backend.oid, durable=False, auto_delete=False)  # type: ignore[attr-defined] # as above

        with pytest.raises(QueueMismatch, match=app.backend.oid):  # type: ignore[attr-defined] # as above
            app.tasks["note"].delay()
