"""Halts workers: drains their queues first if asked, prints the progress, then which workers stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths
from proj.commands.queues.halt_question import ask_to_halt, tasks_of
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.queue_name import refuse_unknown_queues
from proj.delivery.dead_letters.app_queues import queue_types
from proj.delivery.shutdown.drain import drain_queues
from proj.delivery.shutdown.halt_workers import HaltOutcome, RunningWorkers, halt_workers
from proj.errors import EXIT_FAILED, DeadlinePassed
from proj.journal.actions import DRAIN, HALT, recorded
from proj.queues import QUARANTINE_SUFFIX, is_plumbing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from celery import Celery

    from proj.delivery.shutdown.drain import Remainder


class Halt:
    """One halt of an app's workers."""

    def __init__(self, app: Celery, *, broker_api: str | None, as_json: bool) -> None:
        """Take the app; no worker is told before `run`."""
        self._app = app
        self._queue_depths = QueueDepths(app, broker_api=broker_api)
        self._as_json = as_json

    def run(
        self,
        *,
        queues: Sequence[str],
        worker: str | None,
        drain_timeout_s: float | None,
        timeout_s: float,
        yes: bool,
        journal: Path | None = None,
    ) -> None:
        """Halt the workers and print the outcome of each.

        Args:
            queues: halt only the workers of these, one queue after the other. If empty, all of the app's at once.
            worker: halt only this worker.
            drain_timeout_s: seconds that the queues may take to run empty first; None halts at once.
            timeout_s: seconds to wait until the workers have stopped.
            yes: halt the app's workers without asking.
            journal: the file to write into who did it, if any.

        Raises:
            NoBroker: no broker answers.
            DeadlinePassed: a queue did not run empty; its workers were not halted.
            ProjError: there is no such worker, or a queue that is to run empty is paused.
            UsageError: it is not known which workers are the app's, or nobody is there to be asked.
            UnknownQueue: there is no such queue.
            Exit: a worker has not stopped.
        """
        halted: list[HaltOutcome] = []
        ours: list[str] = []
        tasks = tasks_of(self._app) if worker is None and not queues else None
        refuse_unknown_queues(self._app, queues, self._queue_depths)
        with ControlBus(self._app) as bus:
            workers = RunningWorkers(self._app, bus, self._queue_depths)
            if workers.doubt:
                echo(workers.doubt, err=True)
            if tasks is not None:
                ours = workers.of_app(tasks, queue_types(self._app))
                ask_to_halt(ours, others=sorted(workers.queues.keys() - set(ours)), yes=yes)
            end = None if drain_timeout_s is None else time.monotonic() + drain_timeout_s
            for place, queue in enumerate(queues or (None,)):
                nodes = ours if tasks is not None else workers.select(worker=worker, queue=queue)
                if end is not None:
                    drained = {queue} if queue else {name for node in nodes for name in workers.queues[node]}
                    # A message in quarantine is not finished either.
                    drained |= {name + QUARANTINE_SUFFIX for name in drained}
                    try:
                        with recorded(DRAIN, _listed(drained), journal=journal) as count:
                            self._drain(bus, drained, nodes, max(0.0, end - time.monotonic()))
                            count.value = len(drained) // 2
                    except DeadlinePassed:
                        if halted:
                            self._show(halted, queues)
                        raise
                # A worker that consumes from a later queue too is halted with that one.
                leaving = [node for node in nodes if workers.queues[node].isdisjoint(queues[place + 1 :])]
                with recorded(HALT, ", ".join(leaving), journal=journal) as count:
                    # They are told, however many stop in time.
                    count.value = len(leaving)
                    halted += halt_workers(
                        bus,
                        leaving,
                        listening=workers.listening,
                        timeout_s=timeout_s,
                        progress=lambda each: echo(f" [x] {each.worker} stopped after {each.seconds} s", err=True),
                    )
        self._show(halted, queues)
        if not all(each.stopped for each in halted):
            raise click.exceptions.Exit(EXIT_FAILED)

    def _drain(self, bus: ControlBus, queues: set[str], nodes: list[str], timeout_s: float) -> None:
        what = _listed(queues)
        last: list[Remainder] = []

        def progress(left: Remainder) -> None:
            if last[-1:] != [left]:
                echo(f" [ ] {what}: {left}", err=True)
                last.append(left)

        drain_queues(
            bus,
            self._queue_depths,
            queues=queues,
            nodes=nodes,
            what=what,
            timeout_s=timeout_s,
            progress=progress,
        )

    def _show(self, halted: list[HaltOutcome], queues: Sequence[str]) -> None:
        if self._as_json:
            echo_json([_row(each) for each in halted])
            return
        if not halted:
            names = " or ".join(queues)
            echo(f"No worker consumes from {names}." if names else "There is no worker of this app.", err=True)
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("worker", "answer", "running", "held", "outcome"):
            table.add_column(heading, overflow="fold")
        for each in halted:
            row = _row(each)
            cells = (
                "?" if row[key] is None else str(row[key]) for key in ("worker", "answer", "running", "held", "outcome")
            )
            table.add_row(*map(cell, cells))
        console().print(Fitted(table))


def _listed(queues: Collection[str]) -> str:
    return ", ".join(sorted(name for name in queues if not is_plumbing(name))) or "no queue"


def _row(each: HaltOutcome) -> dict[str, Any]:
    silent = "none: told to shut down" if each.listens else "none"
    return {
        "worker": each.worker,
        "answer": "halts" if each.answered else silent,
        "stopped": each.stopped,
        "seconds": each.seconds,
        "running": each.running,
        "held": each.held,
        "outcome": f"stopped after {each.seconds} s" if each.stopped else "still there",
    }
