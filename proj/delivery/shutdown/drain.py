"""Letting queues run empty: when nothing waits in them, nobody works on what was in them, and it stays so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.broker.control_bus import good
from proj.errors import DeadlinePassed
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import Gauge

#: Looks in a row that must find nothing: a task that publishes another may end between two questions of one look.
LOOKS = 2
#: The same while not everyone was heard: longer than the five seconds for which the broker's counts may stand still.
UNSURE_LOOKS = 10
#: Seconds between two looks.
INTERVAL_S = 1.0
#: Seconds that a worker may take to say what it has.
ANSWER_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What is left of some queues."""

    #: Messages that wait for a worker.
    ready: int
    #: Messages with a worker, as the workers say themselves, now.
    in_work: int
    #: The same as the broker counts it: seconds late for quorum queues; None when it cannot be asked.
    unacknowledged: int | None
    #: Workers that did not say what they have.
    silent: int
    #: Queues of these workers of which the broker counted no message and no consumer. That is how it counts a quorum
    #: queue too that did not tell it in a quarter of a second (`rabbit_quorum_queue:stat`, RabbitMQ 3.10).
    unanswered: int = 0

    @property
    def is_sure(self) -> bool:
        """Whether everyone was heard."""
        return not self.silent and not self.unanswered

    @property
    def is_none(self) -> bool:
        """Whether nothing is left, as far as anyone can tell; a silent worker's part is told by the broker alone."""
        if self.unacknowledged is None and self.silent:
            return False
        return self.ready == 0 and self.in_work == 0 and not self.unacknowledged

    def __str__(self) -> str:
        """For people."""
        unacknowledged = "?" if self.unacknowledged is None else self.unacknowledged
        silent = f", {self.silent} workers silent" if self.silent else ""
        unanswered = f", {self.unanswered} queues without an answer or a consumer" if self.unanswered else ""
        return f"{self.ready} ready, {self.in_work} in work, {unacknowledged} unacknowledged{silent}{unanswered}"


def drain(look: Callable[[], Remainder], *, what: str, timeout_s: float, progress: Callable[[Remainder], None]) -> None:
    """Return when `LOOKS` looks in a row that heard everyone found nothing left, or `UNSURE_LOOKS` of any kind.

    Raises:
        DeadlinePassed: something was left, again and again, for `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    nothing = sure = 0
    while True:
        remainder = look()
        progress(remainder)
        nothing = nothing + 1 if remainder.is_none else 0
        sure = sure + 1 if remainder.is_none and remainder.is_sure else 0
        if sure >= LOOKS or nothing >= UNSURE_LOOKS:
            return
        if time.monotonic() >= end:
            raise DeadlinePassed(f"{what} to run empty; there is still {remainder}", timeout_s)
        time.sleep(INTERVAL_S)


def remainder(bus: ControlBus, gauge: Gauge, *, queues: Collection[str], nodes: Collection[str]) -> Remainder:
    """What is left of the queues: first what waits, then what the nodes have, which can only have come from there.

    Raises:
        NoBroker: no broker answers.
    """
    there = gauge.read(also=queues)
    known = {depth.name for depth in there}
    depths = [depth for depth in there if depth.name in queues]
    counted = [depth.unacknowledged for depth in depths]
    heard = {depth.name for depth in depths if depth.ready or depth.consumers}
    answers = [
        good(bus.ask(command, timeout_s=ANSWER_TIMEOUT_S, nodes=nodes, **arguments), list)
        for command, arguments in (("active", {"safe": True}), ("reserved", {}), ("scheduled", {}))
    ]
    return Remainder(
        ready=sum(depth.ready for depth in depths),
        in_work=sum(_of(queues, known, requests) for answer in answers for requests in answer.values()),
        unacknowledged=None if None in counted else sum(count or 0 for count in counted),
        silent=len(set(nodes) - answers[0].keys()),
        # What workers make for themselves is fetched, or not asked for now.
        unanswered=len({name for name in queues if not is_plumbing(name)} - heard) if nodes else 0,
    )


def _of(queues: Collection[str], known: Collection[str], requests: Iterable[Any]) -> int:
    """How many of a worker's requests came from the queues, or from where their routing key does not tell."""
    keys = (_routing_key(request) for request in requests)
    return sum(key in queues or key not in known for key in keys)


def _routing_key(request: Any) -> object:  # noqa: ANN401 as Celery answers
    # A scheduled one is wrapped with its eta.
    inner = request.get("request", request) if isinstance(request, dict) else {}
    delivery = inner.get("delivery_info") or {}
    return delivery.get("routing_key")
