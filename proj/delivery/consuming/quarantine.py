"""Running alone what may have killed a worker, so that only its own death counts against it.

When a worker's main process vanishes, nobody knows which of its messages did it, and the broker counts a delivery for
each of them. So a message that came back twice goes to a queue of its own, `<queue>.suspects`, and a worker takes one
from there only while nothing else of it runs or is held: what comes back from there killed its worker by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.utils.log import get_logger
from celery.worker import state

from proj.delivery.consuming.forwarder import declare
from proj.delivery.recovery.closed_channel import connecting_again
from proj.queues import is_broadcast_queue, quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks.
LOOK_INTERVAL_S = 0.5
#: Looks of a worker at its own state for each at the broker's queue.
_LOOKS_A_COUNT = 4
#: Seconds that a suspect waits for the worker to be idle, before the worker stops taking other messages for it.
_PATIENCE_S = 30.0
#: Seconds that a suspect keeps the worker to itself; one that has not killed it by then may have company.
_ALONE_S = 60.0

logger = get_logger(__name__)


class Suspects:
    """One worker's turn between its queues and those of the suspects; lives on the worker's loop."""

    def __init__(self, consumer: Any, *, pending: Callable[[], int]) -> None:  # noqa: ANN401 our Consumer
        """Serve the queues of `consumer`, and count `pending` messages that are on their way elsewhere as work."""
        self._consumer = consumer
        self._pending = pending
        self._looks = 0
        #: Messages that wait, by queue of suspects, as the broker said last.
        self._waiting: dict[str, int] = {}
        self._waiting_since: float | None = None
        #: Whether the worker takes nothing from its queues for the sake of a suspect.
        self.paused = False
        self._alone_since: float | None = None

    def begin(self) -> None:
        """Look from now on; a new connection, which knows nothing of a pause, begins again."""
        self.paused = False
        self._alone_since = None
        self._waiting = {}
        self._waiting_since = None
        self._consumer.timer.call_repeatedly(LOOK_INTERVAL_S, self.look)

    def look(self) -> None:
        """Do what is next: count, pause, take one, or go on as ever.

        Raises:
            RecoverableConnectionError: the broker closed the channel, because a queue is gone.
        """
        with connecting_again(self._consumer.channel_errors):
            self._look()

    def _look(self) -> None:
        consumer = self._consumer
        if consumer.blueprint.state != bootsteps.RUN or not consumer.task_consumer:  # type: ignore[attr-defined] # unlike celery-types
            return
        if self.paused:
            self._go_on()
            return
        if self._looks % _LOOKS_A_COUNT == 0:
            consumer.forwarder.ask(self._count)
        self._looks += 1
        if not any(self._waiting.values()):
            self._waiting_since = None
            return
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        if self._idle() or now - self._waiting_since > _PATIENCE_S:
            # What the broker has sent already still comes; it is run before a suspect is.
            consumer.task_consumer.cancel()
            self.paused = True

    def _go_on(self) -> None:
        if self._idle():
            self._alone_since = None
            if self._take():
                self._alone_since = time.monotonic()
                return
            self._resume()
        elif self._alone_since is not None and time.monotonic() - self._alone_since > _ALONE_S:
            self._resume()

    def _take(self) -> bool:
        """Receive one suspect, and say whether there was one."""
        task_consumer = self._consumer.task_consumer
        for name in sorted(self._waiting):
            raw = task_consumer.channel.basic_get(queue=name, no_ack=False)
            if raw is not None:
                raw.delivery_info["queue"] = name
                logger.warning("A message that may have killed a worker is run alone; it comes from %s.", name)
                self._consumer.receive(raw)
                return True
        return False

    def _resume(self) -> None:
        self.paused = False
        self._alone_since = None
        self._waiting_since = None
        self._waiting = {}
        # Unless leased tasks have all its slots.
        if getattr(self._consumer, "fitted_window", None) != 0:
            self._consumer.task_consumer.consume()

    def _idle(self) -> bool:
        # What waits for its `eta` may wait for days; a death takes it along as it takes what is held.
        return not state.reserved_requests and not self._pending()

    def _count(self, connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
        """On the forwarder's thread: how many suspects wait."""
        queues = self._consumer.task_consumer.queues
        # A worker's own queue has none: they would outlive it.
        names = {quarantine_queue(queue.name) for queue in queues if not is_broadcast_queue(queue.name)}
        self._waiting = {name: declare(connection, name) for name in names}
