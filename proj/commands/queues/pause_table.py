"""Pauses or resumes queues, and prints which worker followed, as a table or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.queue_name import refuse_unknown_queues
from proj.delivery.pausing.pause_workers import set_paused
from proj.errors import EXIT_FAILED
from proj.journal.actions import PAUSE, RESUME, recorded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from celery import Celery

    from proj.delivery.pausing.pause_workers import Paused


def set_all(
    app: Celery,
    *,
    queues: Sequence[str],
    paused: bool,
    timeout_s: float,
    as_json: bool,
    broker_api: str | None,
    journal: Path | None,
) -> None:
    """Pause or resume each queue, and print the outcome of each worker.

    Raises:
        NoBroker: no broker answers.
        UnknownQueue: there is no such queue to pause.
        Exit: a worker has not followed.
    """
    depths = QueueDepths(app, broker_api=broker_api)
    if paused:
        refuse_unknown_queues(app, queues, depths)
    outcomes = []
    with ControlBus(app) as bus:
        for queue in dict.fromkeys(queues):
            with recorded(PAUSE if paused else RESUME, queue, journal=journal) as count:
                try:
                    outcome = set_paused(app, bus, depths, queue, paused=paused, timeout_s=timeout_s)
                except KeyboardInterrupt:
                    # The mark is set or gone already.
                    count.value = 1
                    raise
                # The queue itself, also where no worker consumes from it.
                count.value = max(1, sum(each.followed for each in outcome.workers))
            outcomes.append(outcome)
            if as_json:
                echo_json({name: value for name, value in asdict(outcome).items() if name != "doubt"})
            else:
                _show(outcome)
    doubt = next((each.doubt for each in outcomes if each.doubt), None)
    if doubt:
        echo(doubt, err=True)
    if not all(each.is_done for each in outcomes):
        raise click.exceptions.Exit(EXIT_FAILED)


def _show(outcome: Paused) -> None:
    name = outcome.queue
    if outcome.paused:
        echo(f" [x] {name} is paused until: queues resume {name}", err=True)
    else:
        echo(f" [x] {name} is not paused", err=True)
    if not outcome.workers:
        echo(f"No worker consumes from {name} now.", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("worker", "answer", "running", "given back"):
        table.add_column(heading, overflow="fold")
    for each in outcome.workers:
        counts = ("?" if count is None else str(count) for count in (each.running, each.given_back))
        table.add_row(*map(cell, (each.worker, each.answer, *counts)))
    console().print(Fitted(table))
    if any(each.answer == "none" for each in outcome.workers):
        echo("A worker without an answer follows when it reads its commands. Ask again to be sure.", err=True)
