"""Runs a pipeline on a private broker: progress on stderr, then the timeline, the figures and the printed lines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proj import metrics
from proj.commands.lab.repeated_runs import free_name
from proj.commands.terminal.console import SafeConsole, cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.interrupt import interruptible
from proj.errors import EXIT_FAILED
from proj.journal.writer import JournalWriter
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.lab.runs.machine import machine
from proj.lab.runs.pipeline import Pipeline
from proj.plural import counted
from proj.report.pipeline import legend, signs, stages_table, timeline, verdict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from proj.lab.runs.pipeline import PipelineOutcome, PipelineSetup

#: The name of the temporary journal when the user asked for none.
UNKEPT = "pipeline.sqlite"


def show_pipeline(setup: PipelineSetup, *, output: Path | None, version: str | None = None, as_json: bool) -> None:
    """Run it on this version of RabbitMQ and print what happened.

    Raises:
        MissingProgram: this version is not there.
        UnreadableJournal: the file at `output` is not a journal.
        ProjError: a process did not start, or a stage did not end.
        Interrupted: Ctrl-C, SIGTERM or a hang-up came; nothing is left running.
        Exit: a message was lost, or printed twice.
    """
    kept = f", and {output} has what was measured until then" if output else ""
    with interruptible(f"Interrupted; nothing is left running{kept}."):
        outcome = _run_into(output, setup, version) if output else _run_aside(setup, version)
    figures = metrics.pipeline_figures(outcome.attempts, slots=outcome.slots)
    if as_json:
        echo_json(_as_json(setup, outcome, figures), indent=2)
    else:
        _show(setup, outcome, figures)
    if output:
        echo(f"Kept in {output}; next: celery -A proj journal report {output}", err=True)
    if outcome.lost or outcome.doubled:
        for what, words in (("Lost", outcome.lost), ("Printed more than once", outcome.doubled)):
            if words:
                echo(f"{what}: {', '.join(words)}", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def _run_into(output: Path, setup: PipelineSetup, version: str | None) -> PipelineOutcome:
    # The file first, so that a file that is not a journal is refused before anything is started.
    with JournalWriter(output) as writer, Guard() as guard:
        return _run(setup, writer, guard, version)


def _run_aside(setup: PipelineSetup, version: str | None) -> PipelineOutcome:
    with Guard() as guard, JournalWriter(guard.folder / UNKEPT) as writer:
        return _run(setup, writer, guard, version)


def _run(setup: PipelineSetup, writer: JournalWriter, guard: Guard, version: str | None) -> PipelineOutcome:
    name = free_name(f"{setup.dispatch}-pipeline", {run.name for run in writer.journal.runs()})
    writer.commit()
    echo("Starting a private RabbitMQ …", err=True)
    with Broker(guard, version=version) as broker:
        here = machine(broker.management)
        workers = ", ".join(f"{count} of {stage}" for stage, count in setup.workers.items())
        echo(f"{name}: starting the workers, {workers} …", err=True)
        with Pipeline(name, setup, broker=broker, guard=guard, writer=writer) as pipeline, _progress() as progress:
            bar = progress.add_task(name, total=len(setup.messages))
            return pipeline.run(here, on_progress=lambda done: progress.update(bar, completed=done))


def _progress() -> AbstractContextManager[Progress]:
    """A progress bar on a terminal, nothing elsewhere."""
    talk = SafeConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal)


def _show(setup: PipelineSetup, outcome: PipelineOutcome, figures: metrics.PipelineFigures) -> None:
    marks = signs(outcome.ids)
    lanes = {stage: metrics.lanes(own, outcome.workers) for stage, own in outcome.attempts.items()}
    out = console()
    for line in timeline(lanes, marks):
        out.print(cell(line))
    out.print(cell(*legend(setup.messages).split("\n")), end="\n\n")
    out.print(Fitted(_table(figures)))
    least = f"the least that these workers could reach is {figures.ideal_s:.2f} s"
    messages = counted(len(setup.messages), "message")
    done = f"{messages} in {figures.makespan_s:.2f} s; {least}."
    out.print(cell(done, verdict(figures), ""), soft_wrap=True)
    for each in outcome.printed:
        out.print(cell(each.line))


def _table(figures: metrics.PipelineFigures) -> Table:
    made = stages_table(figures)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, heading in enumerate(made.head):
        table.add_column(heading, justify="left" if column < made.words else "right", no_wrap=True)
    for number, row in enumerate(made.rows):
        if number == len(figures.stages):
            table.add_section()
        table.add_row(*map(cell, row))
    return table


def _as_json(setup: PipelineSetup, outcome: PipelineOutcome, figures: metrics.PipelineFigures) -> dict[str, object]:
    messages = {task_id: text for ids, text in zip(outcome.ids, setup.messages, strict=True) for task_id in ids}
    return {
        **asdict(figures),
        "balanced": figures.is_balanced,
        "verdict": verdict(figures),
        "printed": [each.line for each in outcome.printed],
        "lost": list(outcome.lost),
        "doubled": list(outcome.doubled),
        "tasks": [
            {
                "stage": stage,
                "worker": attempt.worker,
                "message": messages[attempt.task_id],
                "state": attempt.state,
                "started": attempt.started,
                "finished": attempt.finished,
            }
            for stage, own in outcome.attempts.items()
            for attempt in own
        ],
    }
