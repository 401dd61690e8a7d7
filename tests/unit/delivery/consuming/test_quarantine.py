"""For which queues a worker keeps a quarantine queue, without a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.utils.nodenames import worker_direct
from kombu import Queue
from kombu.common import Broadcast

from proj.broker.queue_counts import count_soon
from proj.delivery.consuming.quarantine import ALONE_INTERVAL_S, LOOK_INTERVAL_S, Quarantine
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


def test_messages_are_run_alone_one_soon_after_the_other() -> None:
    """The neighbours of a message that killed its worker wait for each other, and most of them take no time."""
    waiting, run, delays = ["first", "second", "third"], [], []

    def call_soon(call: Any, *args: Any) -> None:
        if call is count_soon:
            args[-1](SimpleNamespace(messages=len(waiting)))
        else:
            call(*args)

    def basic_get(**_: object) -> Any:
        return SimpleNamespace(delivery_info={}, body=waiting.pop(0)) if waiting else None

    turns: list[Any] = []

    def call_after(delay_s: float, call: Any, args: Any = ()) -> None:
        delays.append(delay_s)
        turns.append((call, args))

    consumer: Any = SimpleNamespace(
        app=Celery(set_as_current=False),
        connection=None,
        channel=SimpleNamespace(basic_get=basic_get),
        channel_errors=(),
        is_running=True,
        task_consumer=SimpleNamespace(queues=[Queue("work")], cancel=lambda: None, consume=lambda: None),
        dispatcher=None,
        forwarder=SimpleNamespace(pending=0),
        prefetch=SimpleNamespace(count=1),
        rounds=SimpleNamespace(every=lambda *_: None),
        timer=SimpleNamespace(call_after=call_after),
        call_soon=call_soon,
        receive=lambda raw: run.append(raw.body),
    )

    Quarantine(consumer).begin()
    while turns:
        call, args = turns.pop(0)
        call(*args)

    assert run == ["first", "second", "third"]
    assert delays == [LOOK_INTERVAL_S, *[ALONE_INTERVAL_S] * 4]
