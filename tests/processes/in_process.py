"""A worker in this process, in a thread, that runs nothing of what it receives; it starts in a fraction of a second."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.concurrency.base import BasePool
from celery.worker import WorkController, state

from proj.lab.processes.waiting import wait_until
from proj.service import Service

if TYPE_CHECKING:
    from celery import Celery

    from proj.delivery.consuming.consumer import Consumer

TIMEOUT_S = 60
#: Seconds between two moments at which an idle worker looks whether it is to end; Celery's own take up to a second.
_TICK_S = 0.02


class HoldingPool(BasePool):
    """A pool whose slots are never free: what it is given is not run."""

    def on_apply(self, *_: Any, **__: Any) -> None:
        """Run nothing."""


class Tick(bootsteps.StartStopStep):
    """Wakes the worker's loop, which Celery does only when something arrives."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Consumer) -> None:
        """Wake it from now on, with each connection."""
        consumer.timer.call_repeatedly(_TICK_S, lambda: None)


class HoldingWorker(Service):
    """One at a time in a process, because the state of Celery's worker is global."""

    def __init__(self, app: Celery, *, slots: int, node: str = "holds@host") -> None:
        """Consume the app's queues."""
        app.steps["consumer"].add(Tick)
        # celery-types leaves out what it has.
        self._worker: Any = WorkController(
            app=app, hostname=node, pool=HoldingPool, concurrency=slots, without_mingle=True, without_gossip=True
        )
        self._thread = threading.Thread(target=self._worker.start, name=node, daemon=True)

    @property
    def consumer(self) -> Consumer:
        """Its consumer, once it has started."""
        consumer: Consumer = self._worker.consumer
        return consumer

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start it."""
        state.reset_state()
        self._thread.start()

    def holds(self, count: int) -> bool:
        """Whether it has received so many messages over its present connection, and moves none to another queue."""
        held = tuple(self.consumer.held.unsettled.values()) if self._worker.consumer else ()
        return len(held) == count and not any(message.is_moving for message in held)

    def tolerate(self, losses: int) -> None:
        """Connect again at once after so many lost connections; Celery pauses for a second after five in a second."""
        self.consumer._restart_state.maxR = losses  # type: ignore[attr-defined] # noqa: SLF001 no setting has it

    def stop(self) -> None:
        """Tell it to end as SIGTERM does, and return when it has ended."""
        if self.is_running:
            state.should_stop = 0  # type: ignore[assignment] # celery-types says None
            self.join()

    def join(self) -> None:
        """Return when it has ended."""
        wait_until(lambda: not self.is_running, what="the end of the worker", timeout_s=TIMEOUT_S)
        state.should_stop = None
        state.reset_state()
