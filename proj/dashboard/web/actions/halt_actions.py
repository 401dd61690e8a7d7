"""Halt actions: halts one worker or those of a queue, at once or when the queue is empty, in the background."""

from __future__ import annotations

import secrets
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths
from proj.broker.worker_replies import by_node
from proj.dashboard.web.actions.halt_progress import HaltProgress
from proj.dashboard.web.actions.handler import Asked
from proj.dashboard.web.actions.job import Job
from proj.delivery.shutdown.drain import drain_queues
from proj.delivery.shutdown.halt_workers import REPLY_TIMEOUT_S, RunningWorkers, halt_workers
from proj.errors import ProjError
from proj.journal.actions import DRAIN, HALT, recorded
from proj.plural import counted
from proj.queues import QUARANTINE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from celery import Celery

    from proj.dashboard.web.actions.handler import Fields
    from proj.delivery.shutdown.drain import Remainder

#: Seconds that a queue may take to run empty, and that the workers may take to end what they run.
DRAIN_S = HALT_S = 3600.0
#: Halts that are remembered after their end.
MOST_HALTS = 20
#: Seconds that all halts together may take to end with the dashboard.
STOP_S = 3.0
#: Workers that a question names.
MOST_NAMED = 10


class _Cancelled(Exception):
    pass


class HaltActions:
    """Halts of one app's workers; any thread may call."""

    may_have: tuple[str, ...] = ()
    absent = "There is no such worker or queue."

    def __init__(self, app: Celery, *, of: str, broker_api: str | None, journal: Path | None) -> None:
        """Take the app, whether requests name a "worker" or a "queue", and the journal that this process writes."""
        self.needs = (of,)
        self._app = app
        self._of = of
        self._depths = QueueDepths(app, broker_api=broker_api)
        self._journal = journal
        self._jobs: dict[str, Job[HaltProgress]] = {}
        self._starting = threading.Lock()
        #: Held while workers are about to be told or a halt is cancelled: one of the two comes first.
        self._telling = threading.Lock()

    def ask(self, verb: str, fields: Fields) -> Asked | None:
        """The question.

        Raises:
            ProjError: there is no such worker, or the queue has none.
        """
        (name,) = fields[self._of]
        with ControlBus(self._app) as bus:
            workers = RunningWorkers(self._app, bus, self._depths)
            nodes = self._nodes(workers, name)
            replies = by_node(bus.ask("active", timeout_s=REPLY_TIMEOUT_S, nodes=nodes, safe=True), list)
        others = sorted({queue for node in nodes for queue in workers.queues[node]} - {name})
        running = sum(len(tasks) for tasks in replies.values())
        silent = len(nodes) - len(replies)
        text = question(verb, name, nodes, running=running, silent=silent, others=others if self._of == "queue" else ())
        return Asked(question=text, count=len(nodes), yes=f"Halt {counted(len(nodes), 'worker')}")

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any]:
        """Begin it.

        Raises:
            ProjError: the workers are others than those of the question.
        """
        (name,) = fields[self._of]
        with ControlBus(self._app) as bus:
            nodes = self._nodes(RunningWorkers(self._app, bus, self._depths), name)
        if len(nodes) != count:
            raise ProjError(f"The workers of {name} are others now: {', '.join(nodes)}. Ask again.")
        progress = HaltProgress(verb=verb, who=who, key=secrets.token_hex(8), name=name, workers=nodes)
        with self._starting:
            same = (job for job in self._jobs.values() if job.is_alive and job.progress.name == name)
            if (other := next(same, None)) is not None:
                raise ProjError(f"{other.progress.who} has begun that: {other.progress.said()}")
            ended = [key for key, job in self._jobs.items() if not job.is_alive]
            for key in ended[: max(0, len(self._jobs) + 1 - MOST_HALTS)]:
                del self._jobs[key]
            job = self._jobs[progress.key] = Job(progress, partial(self._halt, drains=verb == DRAIN))
            job.start()
        return {"outcome": progress.said(), "halts": self.documents()}

    def documents(self) -> list[dict[str, Any]]:
        """How far each halt is, the latest last."""
        return [job.progress.document() for job in tuple(self._jobs.values())]

    def cancel(self, key: str, who: str) -> None:
        """Let a halt end that waits for an empty queue; a worker that was told cannot be held back."""
        job = self._jobs.get(key)
        with self._telling:
            if job is not None and not job.progress.told:
                job.cancel(who)

    def stop(self) -> None:
        """Wait for no worker any more: the dashboard ends."""
        for job in self._jobs.values():
            job.cancel("The end of the dashboard")
        until = time.monotonic() + STOP_S
        for job in self._jobs.values():
            job.wait(max(0.0, until - time.monotonic()))

    def _nodes(self, workers: RunningWorkers, name: str) -> list[str]:
        nodes = workers.select(**{"worker": None, "queue": None, self._of: name})
        if not nodes:
            raise ProjError(f"No worker consumes from {name}.")
        return nodes

    def _halt(self, job: Job[HaltProgress], *, drains: bool) -> None:
        progress = job.progress
        with ControlBus(self._app) as bus:
            if drains:
                try:
                    self._drain(bus, job)
                except _Cancelled:
                    return
            listening = RunningWorkers(self._app, bus, self._depths).listening
            with self._telling:
                if job.is_cancelled:
                    return
                progress.told, progress.left = True, None
            with recorded(
                HALT, ", ".join(progress.workers), journal=self._journal, who=progress.who, is_writer=True
            ) as n:
                n.value = len(progress.workers)
                halt_workers(
                    bus,
                    progress.workers,
                    listening=listening,
                    timeout_s=HALT_S,
                    progress=lambda each: progress.stopped.append(each.worker),
                    gives_up=lambda: job.is_cancelled,
                )

    def _drain(self, bus: ControlBus, job: Job[HaltProgress]) -> None:
        progress = job.progress

        def note(left: Remainder) -> None:
            progress.left = str(left)
            if job.is_cancelled:
                raise _Cancelled

        with recorded(DRAIN, progress.name, journal=self._journal, who=progress.who, is_writer=True) as count:
            # A message in quarantine is not finished either.
            queues = {progress.name, progress.name + QUARANTINE_SUFFIX}
            drain_queues(
                bus,
                self._depths,
                queues=queues,
                nodes=progress.workers,
                what=progress.name,
                timeout_s=DRAIN_S,
                progress=note,
            )
            count.value = 1


def question(verb: str, name: str, nodes: Sequence[str], *, running: int, silent: int, others: Sequence[str]) -> str:
    """What a person is asked before workers are halted.

    Args:
        verb: halt, or drain: when the queue is empty.
        name: the worker, or the queue whose workers it is of.
        nodes: the workers.
        running: tasks that they run now.
        silent: how many of the workers do not answer.
        others: further queues of these workers.
    """
    which = f"{counted(len(nodes), 'worker')} of {name}" if [name] != [*nodes] else name
    named = f": {', '.join(nodes[:MOST_NAMED])}{' …' if len(nodes) > MOST_NAMED else ''}" if which != name else ""
    first = f"Halt {which}{named}?" if verb == HALT else f"Wait until {name} is empty, and then halt {which}{named}?"
    run = f"{counted(running, 'task')} now"
    parts = [
        first,
        f"What runs there ends first ({run}), what is held goes back to its queue, and then the process ends.",
    ]
    if others:
        parts.append(f"Other queues of {'it' if len(nodes) == 1 else 'them'}: {', '.join(others[:MOST_NAMED])}.")
    if silent:
        parts.append(f"{counted(silent, 'worker')} of them {'does' if silent == 1 else 'do'} not answer now.")
    return " ".join(parts)
