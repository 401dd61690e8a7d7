"""Halting workers: sends the command, collects the replies, and waits until each worker is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proj.broker.worker_consumers import queues_by_worker
from proj.broker.worker_replies import by_node, read_queues, read_registered
from proj.delivery.shutdown.app_workers import own_tasks, workers_of
from proj.delivery.shutdown.halt_command import HALT, read_halt
from proj.errors import NoManagement, ProjError
from proj.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from celery import Celery

    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import QueueDepths

#: Seconds that a worker may take to reply.
REPLY_TIMEOUT_S = 2.0
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class HaltOutcome:
    """What became of one worker that was told to halt."""

    worker: str
    #: It replied that it halts. A worker without `install(app)` cannot, and one that hangs does not.
    answered: bool
    #: It is gone: its process ended; for a worker that did not answer, it has left the control bus.
    stopped: bool
    #: Seconds from the command until it was gone; None while it is there.
    seconds: float | None
    #: Tasks that it was running when it got the command; None when it did not say.
    running: int | None
    #: Messages that it had received and not started, which it gave back; None when it did not say.
    held: int | None
    #: It replies to other commands, so it was sent Celery's own `shutdown`.
    listens: bool
    #: The queue that exists for as long as the worker does.
    exists_with: str


class RunningWorkers:
    """The workers that are running, with the queues of each: as they reply, and as the broker lists them."""

    def __init__(self, app: Celery, bus: ControlBus, depths: QueueDepths) -> None:
        """Ask now. A worker that does not reply is found by the management API, or when it is named."""
        self._bus = bus
        #: Why a silent worker would not be found, for people; None when it would.
        self.doubt: str | None = None
        listed: Mapping[str, frozenset[str]] = {}
        try:
            listed = queues_by_worker(app, depths.management, app.connection_for_read().virtual_host or "/")
        except NoManagement as error:
            self.doubt = f"{error.message} So workers that do not answer are found by --worker only."
        replies = by_node(bus.ask("active_queues", timeout_s=REPLY_TIMEOUT_S / 2), list)
        self.listening = frozenset(replies)
        # The broker's list is seconds old. A worker that has left since has no mailbox any more.
        self.queues = {node: queues for node, queues in listed.items() if node in replies or bus.is_listening(node)}
        for node, reply in replies.items():
            self.queues[node] = self.queues.get(node, frozenset()) | frozenset(read_queues(reply))

    def of_app(self, tasks: Collection[str], app_queues: Collection[str]) -> list[str]:
        """The node names of the workers of an app with these tasks and queues (`app_workers.workers_of`)."""
        replies = by_node(self._bus.ask("registered", timeout_s=REPLY_TIMEOUT_S, nodes=self.listening), list)
        registered = {node: own_tasks(read_registered(reply)) for node, reply in replies.items()}
        return workers_of(tasks, registered=registered, queues=self.queues, app_queues=app_queues)

    def select(self, *, worker: str | None, queue: str | None) -> list[str]:
        """The node names of one worker, or of those that consume a queue.

        Raises:
            ProjError: there is no such worker.
        """
        if worker is not None and worker not in self.queues and self._bus.is_listening(worker):
            # It is silent, and will find the command in its mailbox.
            self.queues[worker] = frozenset({queue} if queue else ())
        if worker is not None and worker not in self.queues:
            running = ", ".join(sorted(self.queues)) or "none"
            raise ProjError(f"There is no worker {worker!r} on this broker. Running workers: {running}.")
        return sorted(
            node
            for node, queues in self.queues.items()
            if worker in {None, node} and (queue is None or queue in queues)
        )


def halt_workers(
    bus: ControlBus,
    nodes: list[str],
    *,
    listening: frozenset[str],
    timeout_s: float,
    progress: Callable[[HaltOutcome], None],
    gives_up: Callable[[], bool] = lambda: False,
) -> list[HaltOutcome]:
    """Tell the nodes to halt, and wait up to `timeout_s` seconds until all are gone; `progress` gets each that went.

    It waits no longer when `gives_up` says so.

    Raises:
        NoBroker: the broker is gone.
    """
    began = time.monotonic()
    replies = by_node(bus.ask(HALT, nodes=nodes, timeout_s=REPLY_TIMEOUT_S), dict)
    # A worker that does not know the command replies with an error.
    answers = {node: answer for node, reply in replies.items() if (answer := read_halt(reply)) is not None}
    bus.tell("shutdown", [node for node in nodes if node not in answers])
    outcomes = {
        node: HaltOutcome(
            worker=node,
            answered=node in answers,
            stopped=False,
            seconds=None,
            running=answers[node].running if node in answers else None,
            held=answers[node].held if node in answers else None,
            listens=node in listening,
            exists_with=(node in answers and answers[node].leaving) or bus.mailbox_queue(node),
        )
        for node in nodes
    }
    while True:
        for node, outcome in outcomes.items():
            if not outcome.stopped and not bus.is_in_use(outcome.exists_with):
                outcomes[node] = replace(outcome, stopped=True, seconds=round(time.monotonic() - began, 1))
                progress(outcomes[node])
        is_late = time.monotonic() - began >= timeout_s or gives_up()
        if is_late or all(outcome.stopped for outcome in outcomes.values()):
            return list(outcomes.values())
        raise_if_interrupted()
        time.sleep(_POLL_S)
