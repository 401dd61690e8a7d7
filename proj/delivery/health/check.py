"""The health check: reads workers and broker, and reads the workers again where one reading does not decide."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from proj.broker.cluster import majority
from proj.broker.queue_depths import depths_by_declare
from proj.broker.worker_consumers import queues_by_worker
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.dead_letters.destinations import dropped, sentence
from proj.delivery.health.verdict import Consumers, Health, Reading, alive, consuming, progressing, read_worker
from proj.errors import NoBroker, NoManagement

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

    from proj.broker.control_bus import ControlBus
    from proj.broker.management_api import Management


#: Seconds in which workers usually answer. Only those that the broker knows and that have not are waited for longer.
USUAL_S = 1.0


class HealthCheck:
    """The health of an app's workers, from what they and the broker say."""

    def __init__(self, app: Celery, bus: ControlBus, management: Management, *, timeout_s: float) -> None:
        """Wait `timeout_s` seconds for a worker's replies before it counts as silent."""
        self._bus = bus
        self._timeout_s = timeout_s
        #: Why something is unknown, for people; None when the broker told all.
        self.doubt: str | None = None
        #: Which queues of the workers have dead letters that go nowhere, for people; None when none is known.
        self.dropped: str | None = None
        self._app = app
        self._management = management
        #: Which queues have no majority, for people; None when none is known.
        self.without_majority: str | None = None
        #: The queues of each worker as the broker lists them; None when it cannot be asked.
        self._listed: dict[str, frozenset[str]] | None = None
        vhost = app.connection_for_read().virtual_host or "/"
        try:
            self._listed = queues_by_worker(app, management, vhost)
            self.without_majority = majority.sentence(majority.ask_for_lost_majorities(management, vhost))
        except NoManagement as error:
            self.doubt = (
                f"{error.message} So it is not known whose consumers the broker has, "
                "and workers that do not answer are not found."
            )

    def run(self, *, worker: str | None, interval_s: float, stuck_after_s: float | None) -> list[Health]:
        """The health of each worker, or of the one that is named, also when it does not exist.

        The two readings are `interval_s` seconds apart.

        Raises:
            NoBroker: no broker answers, or not this question; the error also has the queues without a majority.
        """
        try:
            return self._run(worker=worker, interval_s=interval_s, stuck_after_s=stuck_after_s)
        except NoBroker as error:
            if self.without_majority is None:
                raise
            raise NoBroker(f"{error.message} {self.without_majority}") from error

    def _run(self, *, worker: str | None, interval_s: float, stuck_after_s: float | None) -> list[Health]:
        # A worker that is named is asked alone, which ends as soon as it replies. Without the broker's list all are
        # asked: then the number of consumers tells something only beside all workers that say they consume.
        alone = worker is not None and self._listed is not None
        everyone = self._read(self._answered([worker] if worker is not None and alone else None))
        nodes = [worker] if worker is not None else self._nodes(everyone)
        first = {node: everyone[node] for node in nodes if node in everyone}
        backlog, consumers = self._count(everyone)
        self.dropped = self._find_dropped(everyone)
        second = first
        if not all(_is_idle(each, backlog) for each in first.values()):
            time.sleep(interval_s)
            second = self._read(self._ask("stats", first))
        now = time.time()
        return [
            Health(
                worker=node,
                alive=alive(first.get(node), is_known=self._bus.is_listening(node), timeout_s=self._timeout_s),
                consuming=consuming(first.get(node), self._consumers(node, consumers, everyone)),
                progressing=progressing(
                    first.get(node),
                    second.get(node),
                    backlog=_waiting(first.get(node), backlog),
                    now=now,
                    stuck_after_s=stuck_after_s,
                ),
            )
            for node in nodes
        ]

    def _nodes(self, answered: Collection[str]) -> list[str]:
        """The workers that answer, and those that the broker lists and that still have a mailbox."""
        silent = (node for node in self._listed or () if node not in answered)
        return sorted({*answered, *(node for node in silent if self._bus.is_listening(node))})

    def _answered(self, nodes: Collection[str] | None) -> dict[str, Any]:
        """The statistics of the nodes, or of all workers; one that is known to be there has the whole time limit."""
        if nodes is not None:
            return self._ask("stats", [node for node in nodes if self._bus.is_listening(node)])
        if self._listed is None:
            return self._ask("stats", None)
        answered = self._bus.ask("stats", timeout_s=min(USUAL_S, self._timeout_s))
        silent = [node for node in self._nodes(answered) if node not in answered]
        return answered | self._ask("stats", silent)

    def _ask(self, command: str, nodes: Collection[str] | None) -> dict[str, Any]:
        return self._bus.ask(command, nodes=nodes, timeout_s=self._timeout_s)

    def _read(self, stats: dict[str, Any]) -> dict[str, Reading]:
        """One reading of the workers whose statistics these are; a silent one costs one timeout."""
        active = self._bus.ask("active", nodes=stats, timeout_s=self._timeout_s, safe=True)
        reserved = self._ask("reserved", stats)
        queues = self._ask("active_queues", stats)
        return {
            node: read_worker(stats[node], active.get(node), reserved.get(node), queues.get(node)) for node in stats
        }

    def _count(self, everyone: dict[str, Reading]) -> tuple[dict[str, int], dict[str, int]]:
        """The ready messages and the consumers of each queue, counted now."""
        names = {name for each in everyone.values() for name in each.queues}
        names.update(*(self._listed or {}).values())
        depths = depths_by_declare(self._bus.connection, names)
        return {depth.name: depth.ready for depth in depths}, {depth.name: depth.consumers for depth in depths}

    def _find_dropped(self, everyone: dict[str, Reading]) -> str | None:
        if self._listed is None:
            return None
        vhost = self._app.connection_for_read().virtual_host or "/"
        names = {name for each in everyone.values() for name in each.queues}
        dead_letters = dead_letter_queue(self._app)
        try:
            return sentence(dropped(self._management, vhost, dead_letters=dead_letters, names=names))
        except NoManagement:
            # A user who may see consumers may be refused this.
            return None

    def _consumers(self, node: str, now: dict[str, int], everyone: dict[str, Reading]) -> Consumers:
        listed = self._listed
        return Consumers(
            of_worker=None if listed is None else listed.get(node, frozenset()),
            now=now,
            listed=Counter(name for names in (listed or {}).values() for name in names),
            claimed=Counter(name for each in everyone.values() for name in each.queues),
        )


def _waiting(reading: Reading | None, backlog: dict[str, int]) -> int | None:
    """Messages that wait in the queues of a worker; None when none of the queues could be counted."""
    counted = [backlog[name] for name in reading.queues if name in backlog] if reading is not None else []
    return sum(counted) if counted else None


def _is_idle(reading: Reading, backlog: dict[str, int]) -> bool:
    """Whether one reading decides all: nothing runs and nothing waits."""
    return not reading.running and not reading.held and not _waiting(reading, backlog)
