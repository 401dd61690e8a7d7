"""Halting workers: the order broadcast, the answers gathered, and each worker awaited until it is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proj.broker.control_bus import good
from proj.broker.worker_consumers import roster
from proj.delivery.shutdown.halt_command import HALT
from proj.errors import NoManagement, ProjError
from proj.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from celery import Celery

    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import Gauge

#: Seconds that a worker may take to answer.
ANSWER_TIMEOUT_S = 2.0
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Halted:
    """What became of one worker that was told to halt."""

    worker: str
    #: It said that it halts; one without our piece cannot, and one that hangs does not.
    answered: bool
    #: It is gone: its process ended, or for a worker without our piece, it has left the control bus.
    stopped: bool
    #: Seconds from the order until then; None while it is there.
    seconds: float | None
    #: Tasks that it had in work when it was told; None when it did not say.
    running: int | None
    #: Messages that it had received and not begun, which it gave back; None when it did not say.
    held: int | None
    #: It answers other questions: told with Celery's own `shutdown`.
    listens: bool
    #: The queue that is there while it is.
    sign: str


class Muster:
    """The workers that are there, and the queues of each: as they answer, and as the broker has them."""

    def __init__(self, app: Celery, bus: ControlBus, gauge: Gauge) -> None:
        """Ask who is there; a worker that is silent is found by the management API, or when it is named."""
        self._bus = bus
        #: Why a silent worker would not be found, for people; None when it would.
        self.doubt: str | None = None
        try:
            known: Mapping[str, Iterable[str]] = roster(
                app, gauge.management, app.connection_for_read().virtual_host or "/"
            )
        except NoManagement as error:
            self.doubt = f"{error.message} So workers that do not answer are found by --worker only."
            known = {}
        answers = good(bus.ask("active_queues", timeout_s=ANSWER_TIMEOUT_S / 2), list)
        self.listening = frozenset(answers)
        # The broker's list is seconds old: who left meanwhile has no mailbox any more.
        self.queues: dict[str, frozenset[str]] = {
            node: frozenset(queues)
            for node, queues in known.items()
            if node in answers or bus.holds(bus.mailbox_queue(node))
        }
        for node, claimed in answers.items():
            names = frozenset(str(queue.get("name")) for queue in claimed if isinstance(queue, dict))
            self.queues[node] = self.queues.get(node, frozenset()) | names

    def chosen(self, *, worker: str | None, queue: str | None) -> list[str]:
        """The nodes that are meant: one by its name, those that consume a queue, or all.

        Raises:
            ProjError: there is no such worker.
        """
        if worker is not None and worker not in self.queues and self._bus.holds(self._bus.mailbox_queue(worker)):
            # Silent, but it has a mailbox, and will find the order in it.
            self.queues[worker] = frozenset({queue} if queue else ())
        if worker is not None and worker not in self.queues:
            there = ", ".join(sorted(self.queues)) or "none"
            raise ProjError(f"There is no worker {worker!r} on this broker. There are: {there}.")
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
    progress: Callable[[Halted], None],
) -> list[Halted]:
    """Tell the nodes to halt, and wait for `timeout_s` until they are gone; `progress` sees each that went.

    Raises:
        NoBroker: the broker is gone.
    """
    began = time.monotonic()
    replies = good(bus.ask(HALT, nodes=nodes, timeout_s=ANSWER_TIMEOUT_S), dict)
    # A worker without our piece answers too: with an error, because it does not know the order.
    answers = {node: reply for node, reply in replies.items() if "ok" in reply}
    bus.tell("shutdown", [node for node in nodes if node not in answers])
    outcome = {
        node: Halted(
            worker=node,
            answered=node in answers,
            stopped=False,
            seconds=None,
            running=answers.get(node, {}).get("running"),
            held=answers.get(node, {}).get("held"),
            listens=node in listening,
            sign=answers.get(node, {}).get("leaving") or bus.mailbox_queue(node),
        )
        for node in nodes
    }
    while True:
        for node, halted in outcome.items():
            if not halted.stopped and not bus.holds(halted.sign):
                outcome[node] = replace(halted, stopped=True, seconds=round(time.monotonic() - began, 1))
                progress(outcome[node])
        if all(halted.stopped for halted in outcome.values()) or time.monotonic() - began >= timeout_s:
            return list(outcome.values())
        raise_if_interrupted()
        time.sleep(_POLL_S)
