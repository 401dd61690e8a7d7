"""For which queues a worker keeps a quarantine queue, without a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.utils.nodenames import worker_direct
from kombu import Queue
from kombu.common import Broadcast

from proj.delivery.consuming.quarantine import Quarantine
from proj.queues import broadcast_queue


def asked(*queues: Queue) -> list[str]:
    """The quarantine queues that the worker of these queues counts, and makes where there is none."""
    app = Celery(set_as_current=False, task_queues=queues)
    app.conf.task_queues = queues
    names: list[str] = []
    consumer: Any = SimpleNamespace(
        app=app,
        connection=None,
        task_consumer=SimpleNamespace(queues=list(app.amqp.queues.values())),
        call_soon=lambda _count, _connection, name, _answer: names.append(name),
    )
    Quarantine(consumer).count()
    return names


def test_queue_that_several_workers_consume_has_a_quarantine_queue() -> None:
    """Another worker may run its message alone."""
    assert asked(Queue("work", durable=True)) == ["work.suspects"]


def test_queue_of_one_worker_has_no_quarantine_queue() -> None:
    """It would stay in the broker for ever: a worker with a new name, or a new queue, came with each start."""
    own = (Broadcast("news"), worker_direct("w@host"), Queue("mine", exclusive=True), broadcast_queue("w@host"))

    assert asked(*own) == []
