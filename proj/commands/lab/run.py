"""`celery -A proj lab run`: measures a workload in one or more dispatch modes, and keeps it in a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import (
    Seconds,
    dispatch_option,
    dot_seconds_option,
    journal_option,
    nodes_option,
    queue_type_option,
    rabbitmq_version_option,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=CeleryCommand)
@dispatch_option("modes", multiple=True, more="; give it several times to run them in turn.")
@click.option("--workload", default="odd-heavy", show_default=True, help="A workload by name, or file:PATH.")
@click.option(
    "--messages", type=click.IntRange(min=1), help="Number of messages.  [default: the workload's own number]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of workloads that are random.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Workers of each run.")
@click.option("--slots", type=click.IntRange(min=1), default=1, show_default=True, help="Slots of each worker.")
@dot_seconds_option(0.1)
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each mode.")
@queue_type_option
@click.option(
    "--kill-worker-at",
    type=Seconds(min=0),
    metavar="SECONDS",
    help="Kill one worker (SIGKILL) this long after the first publish, and start another.",
)
@journal_option(required=True)
@nodes_option
@rabbitmq_version_option
@click.pass_context
@handle_preload_options
def run(  # noqa: PLR0913 one parameter for each option
    ctx: click.Context,
    *,
    modes: tuple[str, ...],
    workload: str,
    messages: int | None,
    seed: int,
    workers: int,
    slots: int,
    dot_seconds: float,
    repeat: int,
    queue_type: str,
    kill_worker_at: float | None,
    output: Path,
    nodes: int,
    version: str | None,
) -> None:
    """Measure a workload on a private RabbitMQ, and keep every attempt in a journal.

    Each run has its own workers, virtual host and queue. Several modes run in turn (A B A B), because the speed of
    a machine changes over time. The journal also has the machine, the versions and the settings.

    \b
    Workloads:
      tutorial-five     the tutorials' five messages, of one dot to five
      fifteen-numbered  fifteen messages of one dot
      odd-heavy         odd messages of 20 dots, even messages of 1
      rare-heavy        one message in ten of 20 dots, the others of 1
      heavy-tailed      lognormal weights
      bursts            ten messages at once, repeatedly
      eta-mix           every second message is delayed
      file:PATH         one message for each line

    \b
    Example:
      celery -A proj lab run --dispatch round-robin --dispatch fair \\
        --dispatch adaptive --repeat 6 -o run.sqlite
      celery -A proj journal compare run.sqlite

    Two modes are compared from five runs of each, three modes from six.

    Exit codes: 0 measured; 1 a process did not start, or a task did not end; 2 wrong use; 130 interrupted: the
    journal has what was measured until then.
    """
    del ctx
    from proj.commands.lab.repeated_runs import repeat_runs
    from proj.lab.runs.measured_run import Setup
    from proj.lab.runs.workload import workload as messages_of

    chosen = messages_of(workload, seed=seed, count=messages)
    setups = [
        Setup(
            workload=workload,
            messages=len(chosen),
            seed=seed,
            dispatch=mode,
            workers=workers,
            slots=slots,
            dot_seconds=dot_seconds,
            queue_type=queue_type,
            kill_worker_at_s=kill_worker_at,
            repeat=number,
        )
        for number in range(1, repeat + 1)
        for mode in dict.fromkeys(modes)
    ]
    repeat_runs(setups, chosen, output=output, version=version, nodes=nodes)
