"""`celery -A proj demo`: runs the same work in each dispatch mode, with the Dispatch page."""

from __future__ import annotations

import click
from celery.bin.base import handle_preload_options

from proj.commands.terminal.command import Command
from proj.commands.terminal.options import dot_seconds_option, nodes_option, rabbitmq_version_option


@click.command(cls=Command)
@click.option("--messages", type=click.IntRange(min=1), default=20, show_default=True, help="Messages for each mode.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Workers of each mode.")
@dot_seconds_option(0.1)
@click.option(
    "--open",
    "open_page",
    is_flag=True,
    help="Open the Dispatch page in a browser; implies --keep, but not with --json.",
)
@click.option("--keep", is_flag=True, help="Keep the page, the broker and the workers running until Ctrl-C.")
@nodes_option
@rabbitmq_version_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
@handle_preload_options
def demo(  # noqa: PLR0913 one parameter for each option
    ctx: click.Context,
    *,
    messages: int,
    workers: int,
    dot_seconds: float,
    open_page: bool,
    keep: bool,
    nodes: int,
    version: str | None,
    as_json: bool,
) -> None:
    """Compare round-robin, fair and adaptive dispatch on a private RabbitMQ.

    Starts a private broker, Flower with the Dispatch page, and workers of one slot for each mode. Sends
    the tutorials' workload, in which odd messages are heavy and even ones light. Shows what each worker
    has while it runs, and then prints what each worker did. Nothing is left running.

    Exit codes: 0 done; 1 a process did not start, or a task did not end; 130 interrupted.
    """
    del ctx
    from proj.commands.demo.race import run_race
    from proj.lab.runs.mode_race import RacePlan
    from proj.lab.runs.workload import odd_heavy

    plan = RacePlan(messages=odd_heavy(messages), workers=workers, dot_seconds=dot_seconds)
    # A user who opens the page wants to look at it after the run too.
    run_race(
        plan,
        keep=keep or (open_page and not as_json),
        open_page=open_page,
        version=version,
        nodes=nodes,
        as_json=as_json,
    )
