"""`celery -A proj lab run`: one workload under one dispatch mode or more, measured and kept in a journal."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import queue_type_option


@click.command(cls=CeleryCommand)
@click.option(
    "--dispatch",
    "modes",
    type=click.Choice(["round-robin", "fair"]),
    multiple=True,
    default=("fair",),
    show_default="fair",
    help="Dispatch mode; given more than once, the modes take turns.",
)
@click.option("--workload", default="odd-heavy", show_default=True, help="A workload by name, or file:PATH.")
@click.option("--messages", type=click.IntRange(min=1), help="How many.  [default: the workload's own number]")
@click.option("--seed", type=int, default=1, show_default=True, help="For workloads with chance in them.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Workers a run.")
@click.option("--slots", type=click.IntRange(min=1), default=1, show_default=True, help="Slots a worker.")
@click.option(
    "--dot-seconds",
    type=click.FloatRange(min=0.001, max=3600),
    default=0.1,
    show_default=True,
    help="Seconds of work a dot.",
)
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each mode.")
@queue_type_option
@click.option(
    "--kill-worker-at",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Kill one worker (SIGKILL) so many seconds after the first publish, and start another.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The journal; runs are added to one that exists.",
)
@click.pass_context
@handle_preload_options
def run(  # noqa: PLR0913 one an option
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
) -> None:
    """Measure a workload on a private RabbitMQ, and keep all that happened in a journal.

    Each run has workers, a virtual host and a queue of its own. Several modes take turns (A B A B), since a
    machine is never equally fast for long. The file also keeps the machine, the versions and the settings.

    \b
    Workloads:
      tutorial-five     the tutorials' five messages, of one dot to five
      fifteen-numbered  fifteen messages of one dot
      odd-heavy         every odd message 20 dots, every even one 1
      rare-heavy        one message in ten 20 dots, the others 1
      heavy-tailed      lognormal weights
      bursts            ten messages at once, again and again
      eta-mix           every other message due only later
      file:PATH         one message a line

    \b
    Example:
      celery -A proj lab run --dispatch round-robin --dispatch fair --repeat 5 -o run.sqlite
      celery -A proj journal compare run.sqlite

    Exit codes: 0 measured; 1 something did not start, or work is missing; 2 wrong use; 130 interrupted, and what
    was measured until then is in the file.
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
    repeat_runs(setups, chosen, output=output)
