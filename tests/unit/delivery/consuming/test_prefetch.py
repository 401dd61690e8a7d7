"""What of the fitting of a window can be decided without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import ChannelError, NotFound, RecoverableConnectionError
from celery import bootsteps

from proj.delivery.consuming.prefetch import Fitting


class Worker(Fitting):
    """A worker's consumer of three slots whose window is that of one."""

    def __init__(self, *, gone_at: str, shared: bool) -> None:
        self.said: list[str] = []
        self.channel_errors = (ChannelError,)
        self.pool = SimpleNamespace(num_processes=3)
        self.controller = SimpleNamespace(autoscaler=None)
        self.blueprint = SimpleNamespace(state=bootsteps.RUN)
        self.suspects = SimpleNamespace(paused=False)
        self.prefetch_multiplier, self.initial_prefetch_count = 1, 1
        self.qos_global, self._maximum_prefetch_restored = shared, True

        def step(name: str) -> Any:
            def do(*_: object) -> None:
                self.said.append(name)
                if name == gone_at:
                    raise NotFound("NOT_FOUND - no queue 'q' in vhost '/'", (60, 20))

            return do

        self.qos = SimpleNamespace(value=1, prev=1, update=step("update"))
        channel = SimpleNamespace(basic_qos=step("qos"))
        self.task_consumer = SimpleNamespace(
            cancel=step("cancel"), consume=step("consume"), channel=channel, on_message=step("on_message")
        )


@pytest.mark.parametrize("gone_at", ["cancel", "qos", "consume", "update"])
def test_fitting_has_the_worker_connect_again_when_its_queue_is_gone_meanwhile(gone_at: str) -> None:
    """Celery's loop would log any other error of a timer, and the worker idle without a consumer."""
    worker = Worker(gone_at=gone_at, shared=gone_at == "update")

    with pytest.raises(RecoverableConnectionError, match=r"^The broker closed the channel: .*no queue 'q'"):
        worker.fit()

    assert worker.said[-1] == gone_at


def test_window_is_not_fitted_before_anybody_takes_what_comes() -> None:
    """Celery's loop sets the handler later than some steps begin; what is consumed before would end the worker."""
    worker = Worker(gone_at="", shared=False)
    worker.task_consumer.on_message = None

    worker.fit()
    assert worker.said == []

    worker.task_consumer.on_message = print
    worker.fit()
    assert worker.said == ["cancel", "qos", "consume"]
