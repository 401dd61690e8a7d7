"""Our steps in the place of Celery's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from amqp.exceptions import ResourceLocked
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control as CeleryControl
from kombu.utils.imports import symbol_by_name

from proj.broker.version import BrokerVersion
from proj.delivery.recovery.optional_steps import what_is_missing
from proj.delivery.recovery.refusals import Refusals
from proj.delivery.recovery.steps import tolerant_steps
from proj.delivery.recovery.steps.tolerant_steps import Blueprint, Control

LOCKED = ResourceLocked("RESOURCE_LOCKED - locked queue 'w1@host.celery.pidbox'", method_sig=(50, 10))


def test_each_of_our_steps_stands_in_for_one_of_celery() -> None:
    """A new version of Celery may rename its own; then both would run."""
    celerys = {symbol_by_name(step) for step in cast("Any", Consumer).Blueprint.default_steps}
    ours = {symbol_by_name(step) for step in Blueprint.default_steps}

    replaced = celerys - ours
    assert len(ours) == len(celerys)
    assert {step.__base__ for step in ours - celerys} == replaced
    assert {step.__name__ for step in replaced} == {"Control", "DelayedDelivery"}


def test_worker_that_lacks_the_right_to_listen_for_commands_goes_on_also_with_our_step() -> None:
    """The step has another type than Celery's."""
    step = object.__new__(Control)

    assert isinstance(step, CeleryControl)
    assert "celery inspect" in str(what_is_missing(step))
    assert what_is_missing(object()) is None


class Worker(SimpleNamespace):
    """The part of a consumer that is used; its box meets the queues that the broker locks."""

    def __init__(self, *, has_consumed: bool, locked: int) -> None:
        self.later: list[Any] = []
        super().__init__(
            app=SimpleNamespace(conf=SimpleNamespace(broker_heartbeat=10), control=SimpleNamespace(mailbox=None)),
            hostname="w1@host",
            connection=SimpleNamespace(),
            broker_version=BrokerVersion(4, 3) if has_consumed else BrokerVersion(0, 0),
            refusals=Refusals(None),
            timer=SimpleNamespace(call_after=lambda *words: self.later.append(words)),
            call_soon=lambda call, *words: call(*words),
        )
        self.locked = locked


def control(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[int]]:
    """A step, and the numbers of the queues over which it asked to listen."""
    asked: list[int] = []
    monkeypatch.setattr(tolerant_steps, "numbered", lambda _mailbox, number: asked.append(number))

    def start(_consumer: object) -> None:
        if asked[-1] <= worker.locked:
            raise LOCKED

    step: Any = object.__new__(Control)
    step.box = SimpleNamespace(node=SimpleNamespace(mailbox=None), start=start)
    return step, asked


def test_worker_that_has_consumed_goes_on_while_its_control_queue_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries again a moment later, and then takes another queue."""
    worker = Worker(has_consumed=True, locked=2)
    step, asked = control(worker, monkeypatch)

    step.start(worker)
    assert asked == [1]
    assert len(worker.later) == 1

    step._take_another(worker, worker.connection)  # noqa: SLF001 what it does when nobody answers
    assert asked == [1, 2, 3]


def test_worker_that_starts_under_a_locked_name_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker may have the name; when the lock outlives any lost connection, it takes another queue."""
    worker = Worker(has_consumed=False, locked=1)
    step, asked = control(worker, monkeypatch)

    with pytest.raises(ResourceLocked):
        step.start(worker)
    worker.refusals._locked_at -= 21  # noqa: SLF001 two heartbeats ago
    step.start(worker)

    assert asked == [1, 1, 2]
