"""The fitting of a worker's window: one message a slot, while slots come and go and leases keep some.

Under `--autoscale 4,1` Celery's window is that of four slots from the start, since the pool grows for what is held. But
when the connection is lost it becomes that of the processes there are, and as a pool of one holds one message, it never
grows again. And on a quorum queue a window is of the consumer for its life, so that `celery control pool_grow`,
`pool_shrink` and `autoscale` change the pool and not the window: slots stay empty, or messages wait in a busy worker.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from proj.delivery.recovery.closed_channel import connecting_again

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Seconds between two looks at the pool.
LOOK_S = 0.5


class Fitting:
    """The part of a worker's consumer that keeps its window; stands before Celery's `Consumer` among the bases."""

    pool: Any
    controller: Any
    qos: Any
    blueprint: Any
    task_consumer: Any
    suspects: Any
    timer: Any
    connection: Any
    call_soon: Callable[..., Any]
    channel_errors: tuple[type[Exception], ...]
    #: Celery's: the window for all slots, 0 without limit; whether it is one of the channel; and whether all of it is
    #: given again after the loss of a connection.
    initial_prefetch_count: int
    prefetch_multiplier: int
    qos_global: bool
    _maximum_prefetch_restored: bool
    #: Messages that are leased, each of which keeps a slot; and those of them that the window has been fitted to.
    leased = 0
    _fitted_to = 0

    @property
    def max_prefetch_count(self) -> int:
        """Celery's: the window for all slots that the worker has, or may have for what it holds."""
        autoscaler = getattr(self.controller, "autoscaler", None)
        slots = self.pool.num_processes if autoscaler is None else autoscaler.max_concurrency
        return int(slots * self.prefetch_multiplier)

    @property
    def fitted_window(self) -> int | None:
        """The window that the broker has been told; None is without limit."""
        return max(0, self.initial_prefetch_count - self._fitted_to) if self.initial_prefetch_count else None

    def _update_prefetch_count(self, _change: int = 0) -> None:
        """Celery's, when the pool or its limits are changed by people: at once, but after the autoscaler knows it."""
        self.call_soon(self._follow)

    def _follow(self) -> None:
        # It starts processes every five seconds only, and what is held would wait for them.
        self.pool.maintain_pool()
        self.fit()

    def fit(self) -> None:
        """Let the broker give as many messages as slots are free of leased ones, unless it has no limit.

        What a consumer of a quorum queue has when it is replaced counts no more, so that once, until that is done, the
        worker may hold as much again.

        Raises:
            RecoverableConnectionError: the broker closed the channel, because a queue is gone; the window that was
                noted is not there, and nothing is consumed.
        """
        before = self.fitted_window
        if before is None or not self.task_consumer or self.blueprint.state != bootsteps.RUN:  # type: ignore[attr-defined] # unlike celery-types
            return
        if self.suspects.paused or not self._maximum_prefetch_restored:
            return
        # Celery's loop sets it, later than some steps begin; what came before would find nobody, and end the worker.
        if self.task_consumer.on_message is None:
            return
        self.initial_prefetch_count, self._fitted_to = self.max_prefetch_count, self.leased
        after = self.fitted_window or 0
        if after == before:
            return
        logger.info("The window is fitted to %d messages; it was %d.", after, before)
        # Celery's own count, which has the tasks on top that wait for their time.
        self.qos.value = max(1, self.qos.value + after - before)
        if self.qos_global and before and after:
            with connecting_again(self.channel_errors):
                self.qos.update()
            return
        with connecting_again(self.channel_errors):
            self.task_consumer.cancel()
            if after:
                self.task_consumer.channel.basic_qos(0, self.qos.value if self.qos_global else after, self.qos_global)
                self.task_consumer.consume()
        self.qos.prev = self.qos.value

    def begin_fitting(self) -> None:
        """Begin with the window that a new connection was given, and look from now on."""
        self._fitted_to = 0
        self.timer.call_repeatedly(LOOK_S, self.fit)


class FitWindow(bootsteps.StartStopStep):
    """Fits the window while the worker runs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Window"

    def start(self, consumer: Any) -> None:  # noqa: ANN401 Celery's consumer
        """With each connection anew."""
        if isinstance(consumer, Fitting) and consumer.connection.transport.driver_type == "amqp":
            consumer.begin_fitting()
