"""For which queues a worker keeps a quarantine queue, without a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.nodenames import worker_direct
from kombu import Queue
from kombu.common import Broadcast

from proj.broker.queue_counts import count_soon
from proj.delivery.consuming import quarantine
from proj.delivery.consuming.quarantine import ALONE_INTERVAL_S, LOOK_INTERVAL_S, Quarantine
from proj.lab.processes.waiting import wait_until
from proj.queues import broadcast_queue

if TYPE_CHECKING:
    import pytest


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


class Worker:
    """A worker with quarantined messages that wait, and the calls of its timers in their order."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = list(waiting)
        self.run: list[str] = []
        self.delays: list[float] = []
        self.consumes = True
        self.forwarder = SimpleNamespace(pending=0)
        self._turns: list[Any] = []
        self.consumer: Any = SimpleNamespace(
            app=Celery(set_as_current=False),
            connection=None,
            channel=SimpleNamespace(basic_get=self._basic_get),
            channel_errors=(),
            is_running=True,
            task_consumer=SimpleNamespace(queues=[Queue("work")], cancel=self._cancel, consume=self._consume),
            dispatcher=None,
            forwarder=self.forwarder,
            prefetch=SimpleNamespace(count=1),
            pauses=(),
            rounds=SimpleNamespace(every=lambda *_: None),
            timer=SimpleNamespace(call_after=self._call_after),
            call_soon=self._call_soon,
            receive=lambda raw: self.run.append(raw.body),
        )

    def turn(self) -> bool:
        """Let the next timer call; whether there was one."""
        if self._turns:
            call, args = self._turns.pop(0)
            call(*args)
        return bool(self._turns)

    def _call_soon(self, call: Any, *args: Any) -> None:
        if call is count_soon:
            args[-1](SimpleNamespace(messages=len(self.waiting)))
        else:
            call(*args)

    def _call_after(self, delay_s: float, call: Any, args: Any = ()) -> None:
        self.delays.append(delay_s)
        self._turns.append((call, args))

    def _basic_get(self, **_: object) -> Any:
        return SimpleNamespace(delivery_info={}, body=self.waiting.pop(0)) if self.waiting else None

    def _cancel(self) -> None:
        self.consumes = False

    def _consume(self) -> None:
        self.consumes = True


def test_messages_are_run_alone_one_soon_after_the_other() -> None:
    """The neighbours of a message that killed its worker wait for each other, and most of them take no time."""
    worker = Worker("first", "second", "third")

    Quarantine(worker.consumer).begin()
    while worker.turn():
        pass

    assert worker.run == ["first", "second", "third"]
    assert worker.delays == [LOOK_INTERVAL_S, *[ALONE_INTERVAL_S] * 4]


def test_paused_worker_consumes_again_when_the_broker_does_not_take_its_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue takes none before it has been drained, and every worker may be paused."""
    monkeypatch.setattr(quarantine, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(quarantine, "_COPIES_S", 0.05)
    worker = Worker("suspect")
    worker.forwarder.pending = 1

    Quarantine(worker.consumer).begin()
    while worker.consumes:
        worker.turn()
    wait_until(lambda: not worker.turn(), what="the end of the pause", timeout_s=5)

    assert worker.consumes
    assert worker.run == []
