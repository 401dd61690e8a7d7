"""Measured runs, one after the other on a private broker, with progress on stderr, kept in one journal."""

from __future__ import annotations

import itertools
import re
import time
from statistics import fmean
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from proj import metrics
from proj.commands.terminal.clock import format_duration
from proj.commands.terminal.console import SafeConsole, echo
from proj.commands.terminal.interrupt import interruptible
from proj.journal.writer import JournalWriter
from proj.lab.cluster import private_broker
from proj.lab.processes.guard import Guard
from proj.lab.runs.machine import machine
from proj.lab.runs.measured_run import MeasuredRun

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from proj.lab.runs.measured_run import Setup
    from proj.lab.runs.workload import Message


def repeat_runs(
    setups: Sequence[Setup],
    messages: Sequence[Message],
    *,
    output: Path,
    version: str | None = None,
    nodes: int = 1,
) -> None:
    """Measure the messages in each setup on a RabbitMQ of so many nodes, and add a run for each to this journal.

    Raises:
        UnreadableJournal: the file at `output` is not a journal.
        MissingProgram: this version of RabbitMQ is not there.
        ProjError: a process did not start, or a task did not end.
        Interrupted: Ctrl-C, SIGTERM or a hang-up came; the journal has what was measured until then.
    """
    interruption = f"Interrupted; nothing is left running, and {output} has what was measured until then."
    with interruptible(interruption), JournalWriter(output) as writer, Guard() as guard:
        taken = {run.name for run in writer.journal.runs()}
        writer.commit()
        _say("Starting a private RabbitMQ …")
        with private_broker(guard, nodes=nodes, version=version) as broker:
            here = machine(broker.management)
            seconds: list[float] = []
            for number, setup in enumerate(setups, start=1):
                began = time.monotonic()
                name = free_name(f"{setup.dispatch}-{_plain(setup.workload)}", taken)
                taken.add(name)
                left = f", about {format_duration(fmean(seconds) * (len(setups) - number + 1))} left" if seconds else ""
                _say(f"{name} ({number} of {len(setups)}{left}): starting the workers …")
                with MeasuredRun(name, setup, messages, broker=broker, guard=guard, writer=writer) as measured:
                    _watch(measured, here)
                    _say(_outcome(measured))
                seconds.append(time.monotonic() - began)
    _say(f"Kept in {output}; next: celery -A proj journal compare {output}")


def free_name(stem: str, taken: Container[str]) -> str:
    """The stem with the first number from 1 that gives a new name."""
    return next(name for number in itertools.count(1) if (name := f"{stem}-{number}") not in taken)


def _watch(measured: MeasuredRun, here: dict[str, object]) -> None:
    """Run it, with a progress bar on a terminal."""
    talk = SafeConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        bar = progress.add_task(measured.name, total=measured.setup.messages)
        measured.run(here, on_progress=lambda: progress.update(bar, completed=measured.ended))


def _outcome(measured: MeasuredRun) -> str:
    attempts = measured.attempts()
    makespan_s = metrics.makespan_s(attempts)
    ideal_s = metrics.ideal_s(attempts, slots=measured.setup.workers * measured.setup.slots)
    notes = [
        f"{measured.ended} of {measured.setup.messages} messages done in {makespan_s:.2f} s",
        f"{makespan_s / ideal_s if ideal_s else 0.0:.2f} times the ideal",
    ]
    if again := sum(attempt.redelivered for attempt in attempts):
        notes.append(f"{again} redelivered")
    if measured.lost:
        notes.append(f"{measured.lost} lost with the killed worker, which had acknowledged them before their work")
    if measured.setup.kill_worker_at_s is not None and not measured.killed:
        notes.append("all done before the time of the kill")
    return "  " + ", ".join(notes)


def _plain(workload: str) -> str:
    """The workload's name in characters that a virtual host, a queue and a node may have."""
    return re.sub(r"[^a-z0-9]+", "-", workload.rpartition("/")[2].lower()).strip("-") or "file"


def _say(text: str) -> None:
    """Print to stderr; stdout is for data."""
    echo(text, err=True)
