"""`celery -A proj demo`: the same work under round-robin and under fair dispatch, watched on the Dispatch page."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options


@click.command(cls=CeleryCommand)
@click.option("--messages", type=click.IntRange(min=1), default=20, show_default=True, help="Messages a mode.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Workers a mode.")
@click.option(
    "--dot-seconds",
    type=click.FloatRange(min=0.001, max=3600),
    default=0.1,
    show_default=True,
    help="Seconds of work a dot.",
)
@click.option(
    "--open", "open_page", is_flag=True, help="Open the Dispatch page in a browser; without --json, --keep is implied."
)
@click.option("--keep", is_flag=True, help="Leave the page, the broker and the workers up until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
@handle_preload_options
def demo(
    ctx: click.Context,
    *,
    messages: int,
    workers: int,
    dot_seconds: float,
    open_page: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """See round-robin beside fair dispatch, on a RabbitMQ of its own.

    Starts a private broker, Flower with the Dispatch page, and for each mode its own workers of one
    slot; sends the tutorials' workload, in which every odd message is heavy and every even one light;
    shows who has what while it runs; then prints what each worker did. Nothing is left behind.

    Exit codes: 0 done; 1 something did not start, or work is missing; 130 interrupted.
    """
    del ctx
    from proj.commands.demo.race import run_race
    from proj.lab.runs.mode_race import RacePlan
    from proj.lab.runs.workload import odd_heavy

    plan = RacePlan(messages=odd_heavy(messages), workers=workers, dot_seconds=dot_seconds)
    # Who has a page opened means to look at it, also after the half minute in which it changes.
    run_race(plan, keep=keep or (open_page and not as_json), open_page=open_page, as_json=as_json)
