"""`celery -A proj lab pipeline`: runs the tutorials' pipeline, with a chosen number of workers for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import (
    dispatch_option,
    dot_seconds_option,
    journal_option,
    queue_type_option,
    rabbitmq_version_option,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=CeleryCommand)
@click.argument("texts", nargs=-1, metavar="TEXT…", required=True)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME=WORKERS",
    help="Workers of a stage, to_upper or printer; up to 999.  [default: one each]",
)
@dot_seconds_option(1.0, ": to_upper works one dot for a message, printer two")
@dispatch_option(more=". Stages acknowledge late in each of them.")
@queue_type_option
@journal_option()
@rabbitmq_version_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@handle_preload_options
def pipeline(  # noqa: PLR0913 one parameter for each option
    ctx: click.Context,
    *,
    texts: tuple[str, ...],
    stages: tuple[str, ...],
    dot_seconds: float,
    dispatch: str,
    queue_type: str,
    output: Path | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Send the words of TEXT through two stages, and find the slower one.

    Each word is a message on the queue my_queue. Workers of to_upper write it in capital letters and send it to
    the queue upper; workers of printer print it. They are `celery worker` processes of one slot on a private
    RabbitMQ. When a stage has no message left, its workers are halted, then those of the next stage.

    \b
    Example:
      celery -A proj lab pipeline "goodbye cruel world I am leaving you today" \\
        --stage to_upper=1 --stage printer=2

    \b
    What is shown:
      timeline     one lane for each worker; a message has the same sign in all
      can do       messages per second that the stage does when it is never
                   idle: workers / seconds of each message
      did          messages per second over the whole run
      utilisation  the share of the run for which the stage's workers worked
      bottleneck   the stage that can do least, and how many workers would
                   balance it

    Exit codes: 0 each word was printed once; 1 a word was lost or printed twice, or a process did not start; 2 wrong
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
    show_pipeline(setup, output=output, version=version, as_json=as_json)
