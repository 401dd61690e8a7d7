"""The decisions about a worker's prefetch count that need no broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import ChannelError, NotFound, RecoverableConnectionError

from proj.delivery.consuming.prefetch import Prefetch


class Worker(SimpleNamespace):
    """The consumer of a worker with three slots and a prefetch count of one; `said` has what the broker was told."""

    def __init__(self, *, gone_at: str = "", shared: bool = False) -> None:
        said: list[str] = []

        def step(name: str) -> Any:
            def do(*_: object) -> None:
                said.append(name)
                if name == gone_at:
                    raise NotFound("NOT_FOUND - no queue 'q' in vhost '/'", (60, 20))

            return do

        super().__init__(
            said=said,
            channel_errors=(ChannelError,),
            pool=SimpleNamespace(num_processes=3),
            controller=SimpleNamespace(autoscaler=None),
            is_running=True,
            has_full_prefetch=True,
            quarantine=SimpleNamespace(paused=False),
            max_prefetch_count=3,
            initial_prefetch_count=1,
            dispatcher=None,
            qos_global=shared,
            qos=SimpleNamespace(value=1, prev=1, update=step("update")),
            channel=SimpleNamespace(basic_qos=step("qos")),
            task_consumer=SimpleNamespace(
                cancel=step("cancel"), consume=step("consume"), on_message=step("on_message")
            ),
        )


def prefetch(worker: Any) -> Prefetch:
    return Prefetch(worker)


@pytest.mark.parametrize("gone_at", ["cancel", "qos", "consume", "update"])
def test_adjusting_makes_the_worker_connect_again_when_its_queue_was_deleted(gone_at: str) -> None:
    """Celery's loop would log any other error of a timer, and the worker would stay without a consumer."""
    worker = Worker(gone_at=gone_at, shared=gone_at == "update")

    with pytest.raises(RecoverableConnectionError, match=r"^The broker closed the channel: .*no queue 'q'"):
        prefetch(worker).adjust()

    assert worker.said[-1] == gone_at


def test_prefetch_count_is_not_adjusted_before_the_loop_has_set_its_handler() -> None:
    """Celery's loop sets it later than some steps begin; a message that is consumed before would end the worker."""
    worker = Worker()
    handler, worker.task_consumer.on_message = worker.task_consumer.on_message, None

    prefetch(worker).adjust()
    assert worker.said == []

    worker.task_consumer.on_message = handler
    prefetch(worker).adjust()
    assert worker.said == ["cancel", "qos", "consume"]


def test_leased_messages_are_left_out_of_the_prefetch_count() -> None:
    """A leased message keeps its slot, and no other may be sent for it; nothing is consumed when all are leased."""
    worker = Worker()
    adjusted = prefetch(worker)

    adjusted.leased = 1
    adjusted.adjust()
    assert (adjusted.count, worker.said) == (2, ["cancel", "qos", "consume"])

    adjusted.leased = 3
    adjusted.adjust()
    assert (adjusted.count, worker.said[3:]) == (0, ["cancel"])


def test_slots_are_those_that_the_autoscaler_may_start() -> None:
    """The pool grows only for messages that the worker holds."""
    worker = Worker()
    assert prefetch(worker).slots == 3

    worker.controller.autoscaler = SimpleNamespace(max_concurrency=5)
    assert prefetch(worker).slots == 5


@pytest.mark.parametrize(("processes", "slots"), [(3, 3), (0, 0), (-1, 0)])
def test_pool_that_was_shrunk_too_often_has_no_slots(processes: int, slots: int) -> None:
    """A process that is about to end is counted again by the next `pool_shrink`."""
    worker = Worker()
    worker.pool.num_processes = processes

    assert prefetch(worker).slots == slots
