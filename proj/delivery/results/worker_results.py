"""The results of a worker's tasks: handed over to its sender where that can be, else stored by who ran the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.dispatch.together import Together
from proj.delivery.results import storing
from proj.delivery.results.hand_over import can_hand_over, hand_over, publish, trace_tasks
from proj.delivery.results.lost_results import LostResults
from proj.delivery.results.sender import Sender
from proj.delivery.results.storing import may_be_away, store_surely
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import kombu
    from celery import Celery
    from kombu.asynchronous import Hub

    from proj.delivery.results.attempt import Result


#: Results that are published together, and seconds that one may wait for others while the worker has more to do.
TOGETHER = 8
LONGEST_S = 0.005


class WorkerResults(Service):
    """Publishes what pool processes hand over; where they store their results themselves, lets them try again."""

    def __init__(
        self,
        app: Celery,
        hub: Hub | None,
        connection: kombu.Connection,
        *,
        requests: Collection[object],
        may_wait: Callable[[], bool],
    ) -> None:
        """Let pool processes that start from now on hand over, where that can be.

        Args:
            app: whose tasks.
            hub: the worker's loop; without one nothing is handed over.
            connection: for consuming, not made yet.
            requests: the request classes that send what is handed over.
            may_wait: whether the worker has messages that it can go on with. Then results are published together,
                because to wake the sender's thread costs as much as several results.
        """
        self._app = app
        self._may_wait = may_wait
        self._requests = requests
        self._sender: Sender | None = None
        self._together: Together | None = None
        #: The results that could not be sent or stored; None where there are none, or each process sends its own.
        self.lost: LostResults | None = None
        if hub is not None and can_hand_over(app, connection, app.connection_for_write()):
            self.lost = LostResults()
            self._sender = Sender(app, self.lost.add)
            self._together = Together(hub, self._wake, longest_s=LONGEST_S, is_enough=self._are_enough)
            hand_over(app, requests, self.lost.add)
        elif may_be_away(app):
            self.lost = LostResults()
            store_surely(app, requests, self.lost.add)

    def trace(self) -> None:
        """Let this process hand over or try again, when it runs tasks itself; Celery has just built their tracers."""
        if self.lost is None:
            return
        if self._sender is not None:
            trace_tasks(self._app, self._requests, self.lost.add)
        else:
            storing.trace_tasks(self._app, self._requests, self.lost.add)

    def register(self, hub: Hub) -> None:
        """Let the loop call back for tasks whose messages need not wait for their results any more."""
        if self._sender is not None:
            hub.add_reader(self._sender.fileno(), self._sender.settle)

    def start(self) -> None:
        """Start the sender, unless it runs; to be called for each connection."""
        if self._sender is not None and self._together is not None:
            self._together.begin()
            self._sender.start()
            self._sender.wake()

    def stop(self) -> None:
        """Wait for the last confirms, and call back for them."""
        if self._sender is not None:
            self._sender.stop()
            self._sender.settle()

    @property
    def are_sent(self) -> bool:
        """Whether the sender publishes results, so that nobody else waits for them."""
        return self._sender is not None and self._sender.is_running

    def send(self, results: Sequence[Result], settled: Callable[[], None]) -> None:
        """Publish the results of a task.

        Args:
            results: one or more.
            settled: called in the loop when the message of the task need not wait for them any more: they are
                confirmed, lost, or their reply queue does not take them.
        """
        if self._sender is None or self._together is None:
            publish(self._app, results)
            settled()
        else:
            self._sender.add(results, settled)
            self._together.plan()

    def _are_enough(self) -> bool:
        return self._sender is not None and (self._sender.waiting >= TOGETHER or not self._may_wait())

    def _wake(self) -> None:
        if self._sender is not None:
            self._sender.wake()
