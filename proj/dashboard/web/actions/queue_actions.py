"""Queue actions: pausing and resuming a queue, with the services of the commands."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths, depths_by_declare
from proj.dashboard.web.actions.handler import Asked
from proj.delivery.pausing.pause_workers import set_paused
from proj.delivery.shutdown.halt_workers import RunningWorkers
from proj.journal.actions import PAUSE, recorded
from proj.plural import counted

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from proj.dashboard.web.actions.handler import Fields

#: Seconds that the workers may take to follow.
FOLLOW_S = 10.0


class QueueActions:
    """Pauses and resumes queues of an app's broker."""

    needs = ("queue",)
    may_have: tuple[str, ...] = ()
    absent = "There is no such queue."

    def __init__(self, app: Celery, *, broker_api: str | None, journal: Path | None) -> None:
        """Take the app, and the journal that this process writes, if any."""
        self._app = app
        self._depths = QueueDepths(app, broker_api=broker_api)
        self._journal = journal

    def ask(self, verb: str, fields: Fields) -> Asked | None:
        """The question; None when there is no such queue.

        Raises:
            NoBroker: no broker answers.
        """
        (queue,) = fields["queue"]
        with ControlBus(self._app) as bus:
            found = depths_by_declare(bus.connection, [queue])
            if not found:
                return None
            nodes = RunningWorkers(self._app, bus, self._depths).select(worker=None, queue=queue)
        ready = f"{counted(found[0].ready, 'message')} wait{'s' * (found[0].ready == 1)} in it"
        if verb == PAUSE:
            text = (
                f"Pause {queue}? {counted(len(nodes), 'worker')} will start no task of it until it is resumed; {ready}."
            )
            return Asked(question=text, count=len(nodes), yes="Pause it")
        text = f"Resume {queue}? Workers will start its tasks again; {ready}."
        return Asked(question=text, count=len(nodes), yes="Resume it")

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any]:  # noqa: ARG002 every worker of the queue follows, also one that started since
        """Do it, and record who did; what became of each worker.

        Raises:
            ProjError: it cannot be done.
        """
        (queue,) = fields["queue"]
        with (
            recorded(verb, queue, journal=self._journal, who=who, is_writer=True) as done,
            ControlBus(self._app) as bus,
        ):
            outcome = set_paused(self._app, bus, self._depths, queue, paused=verb == PAUSE, timeout_s=FOLLOW_S)
            followed = sum(each.followed for each in outcome.workers)
            done.value = max(1, followed)
        state = "paused" if outcome.paused else "not paused"
        said = f"{queue} is {state}: {followed} of {counted(len(outcome.workers), 'worker')} follow."
        if not outcome.is_done:
            said += " The others do not answer, or cannot do it."
        return {**asdict(outcome), "done": outcome.is_done, "outcome": said}
