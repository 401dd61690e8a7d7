"""`celery -A proj lab pipeline`: the tutorials' pipeline, with as many workers a stage as one likes."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import queue_type_option


@click.command(cls=CeleryCommand)
@click.argument("texts", nargs=-1, metavar="TEXT…", required=True)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME=WORKERS",
    help="How many workers a stage has, to_upper or printer; up to 999.  [default: one each]",
)
@click.option(
    "--dot-seconds",
    type=click.FloatRange(min=0.001, max=3600),
    default=1.0,
    show_default=True,
    help="Seconds of work a dot: to_upper takes one for a message, printer two.",
)
@click.option(
    "--dispatch",
    type=click.Choice(["round-robin", "fair"]),
    default="fair",
    show_default=True,
    help="Dispatch mode. Stages acknowledge late in each.",
)
@queue_type_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep all that happened in this journal; runs are added to one that exists.  [default: nothing is kept]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@handle_preload_options
def pipeline(
    ctx: click.Context,
    *,
    texts: tuple[str, ...],
    stages: tuple[str, ...],
    dot_seconds: float,
    dispatch: str,
    queue_type: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Send the words of TEXT through two stages, and find the slower one.

    Each word is a message on the queue my_queue. Workers of to_upper write it in capital letters and hand it on to
    the queue upper; workers of printer print it. They are `celery worker` processes of one slot on a private
    RabbitMQ. When nothing is left in a stage its workers are halted, then those of the next one.

    \b
    Example:
      celery -A proj lab pipeline "goodbye cruel world I am leaving you today" \\
        --stage to_upper=1 --stage printer=2

    \b
    What is shown:
      timeline     a lane a worker; each message has the same sign in all of them
      can do       messages a second that the stage does when it is never idle:
                   workers / seconds each
      did          messages a second of the whole run
      utilisation  the share of the whole run for which its workers worked
      bottleneck   the stage that can do least, and how many workers would
                   balance it

    Exit codes: 0 every word was printed once; 1 one was lost or printed twice, or something did not start; 2 wrong
    use; 130 interrupted.
    """
    del ctx
    from proj.commands.lab.pipeline_table import show_pipeline
    from proj.lab.runs.pipeline import PipelineSetup
    from proj.lab.runs.pipeline_stages import chosen_workers

    words = [word for text in texts for word in text.split()]
    if not words:
        raise click.UsageError("There is no word in TEXT.")
    setup = PipelineSetup(
        messages=words,
        workers=chosen_workers(stages),
        dot_seconds=dot_seconds,
        dispatch=dispatch,
        queue_type=queue_type,
    )
    show_pipeline(setup, output=output, as_json=as_json)
