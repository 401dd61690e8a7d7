"""Draining: waits until queues are empty, no worker has a task from them, and both stay so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.broker.worker_replies import by_node, read_tasks
from proj.errors import DeadlinePassed, ProjError
from proj.plural import counted
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import QueueDepths

#: Counts in a row that must find nothing: a task that publishes another may end between two questions of one count.
COUNTS = 2
#: The same while not every worker and queue answered. At `INTERVAL_S` that is longer than the five seconds for which
#: the broker's statistics may stand still.
UNSURE_COUNTS = 10
#: Seconds between two counts.
INTERVAL_S = 1.0
#: Seconds that a worker may take to reply.
REPLY_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What is left of some queues."""

    #: Messages that are ready.
    ready: int
    #: Tasks that workers run or hold, by their own replies of now.
    in_work: int
    #: Messages with workers by the broker's count, seconds old for quorum queues; None when it cannot be asked.
    unacknowledged: int | None
    #: Workers that did not reply.
    silent: int
    #: Queues of these workers of which the broker counted no message and no consumer. It also counts a quorum queue so
    #: that did not answer it in a quarter of a second (`rabbit_quorum_queue:stat`, RabbitMQ 3.10).
    unanswered: int = 0

    @property
    def is_sure(self) -> bool:
        """Whether every worker and every queue answered."""
        return not self.silent and not self.unanswered

    @property
    def is_none(self) -> bool:
        """Whether nothing is left, as far as anyone can tell; what a silent worker has, only the broker can tell."""
        if self.unacknowledged is None and self.silent:
            return False
        return self.ready == 0 and self.in_work == 0 and not self.unacknowledged

    def __str__(self) -> str:
        """For people."""
        unacknowledged = "?" if self.unacknowledged is None else self.unacknowledged
        silent = f", {counted(self.silent, 'worker')} silent" if self.silent else ""
        unanswered = f", {counted(self.unanswered, 'queue')} without an answer or a consumer" if self.unanswered else ""
        return f"{self.ready} ready, {self.in_work} in work, {unacknowledged} unacknowledged{silent}{unanswered}"


def drain(
    count: Callable[[], Remainder], *, what: str, timeout_s: float, progress: Callable[[Remainder], None]
) -> None:
    """Return after `COUNTS` sure counts in a row that found nothing left, or `UNSURE_COUNTS` of any kind.

    Raises:
        DeadlinePassed: something was still left after `timeout_s` seconds.
    """
    end = time.monotonic() + timeout_s
    nothing = sure = 0
    while True:
        remainder = count()
        progress(remainder)
        nothing = nothing + 1 if remainder.is_none else 0
        sure = sure + 1 if remainder.is_none and remainder.is_sure else 0
        if sure >= COUNTS or nothing >= UNSURE_COUNTS:
            return
        if time.monotonic() >= end:
            raise DeadlinePassed(f"{what} to run empty; there is still {remainder}", timeout_s)
        time.sleep(INTERVAL_S)


def drain_queues(
    bus: ControlBus,
    depths: QueueDepths,
    *,
    queues: Collection[str],
    nodes: Collection[str],
    what: str,
    timeout_s: float,
    progress: Callable[[Remainder], None],
) -> None:
    """Return when nothing is left of the queues, with the workers that consume them.

    Raises:
        DeadlinePassed: something was still left after `timeout_s` seconds.
        NoBroker: no broker answers.
        ProjError: a queue is paused.
    """
    at_rest = sorted(depth.name for depth in depths.read() if depth.paused and depth.name in queues)
    if at_rest:
        raise ProjError(
            f"{', '.join(at_rest)} cannot run empty, because it is paused. Resume it first: "
            f"celery -A yourapp queues resume {at_rest[0]}"
        )
    drain(lambda: remainder(bus, depths, queues=queues, nodes=nodes), what=what, timeout_s=timeout_s, progress=progress)


def remainder(bus: ControlBus, depths: QueueDepths, *, queues: Collection[str], nodes: Collection[str]) -> Remainder:
    """What is left of the queues: first the ready messages, then what the nodes have, which can only come from there.

    Raises:
        NoBroker: no broker answers.
    """
    all_depths = depths.read(also=queues)
    known = {depth.name for depth in all_depths}
    ours = [depth for depth in all_depths if depth.name in queues]
    counted = [depth.unacknowledged for depth in ours]
    answered = {depth.name for depth in ours if depth.ready or depth.consumers}
    replies = [
        by_node(bus.ask(command, timeout_s=REPLY_TIMEOUT_S, nodes=nodes, **arguments), list)
        for command, arguments in (("active", {"safe": True}), ("reserved", {}), ("scheduled", {}))
    ]
    # A task whose routing key names no queue may come from one of these.
    tasks = [task for reply in replies for tasks in reply.values() for task in read_tasks(tasks)]
    in_work = [task for task in tasks if task.routing_key in queues or task.routing_key not in known]
    return Remainder(
        ready=sum(depth.ready for depth in ours),
        in_work=len(in_work),
        unacknowledged=None if None in counted else sum(count or 0 for count in counted),
        silent=len(set(nodes) - replies[0].keys()),
        # The queues that workers make for themselves expire, so they are not counted with a declaration.
        unanswered=len({name for name in queues if not is_plumbing(name)} - answered) if nodes else 0,
    )
