"""`celery -A anyapp queues halt`: the tutorials' poison pill, for any number of consumers."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option


@click.command(cls=CeleryCommand)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Only the workers that consume from this queue; given more than once, one queue after the other.",
)
@click.option("--worker", help="Only this worker, by its node name.")
@click.option("--drain", is_flag=True, help="First let the queues run empty.")
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    help="Seconds that this may take in all; if it takes longer, nobody of that queue or a later one is halted.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="Seconds to wait until the workers are gone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@broker_api_option
@click.pass_context
@handle_preload_options
def halt(
    ctx: click.Context,
    *,
    queues: tuple[str, ...],
    worker: str | None,
    drain: bool,
    drain_timeout: float,
    timeout: float,
    as_json: bool,
    broker_api: str | None,
) -> None:
    """Halt workers in order: what runs is finished, what is held goes back to its queue.

    A poison pill in the queue halts one consumer, whichever gets it. For many there are two ways: as many
    pills as consumers, or a broadcast that reaches each. Pills need a count that is right while consumers
    come and go; a busy worker never sees its pill and a greedy one takes two; and a pill waits behind all
    other messages, also when one wants to stop now. So this is a broadcast, on Celery's control bus: it
    reaches each worker once, beside the queue and not in it, and each answers before it leaves. What a
    pill's place at the end of the queue was good for, --drain does.

    The stages of a pipeline end one after the other: --queue first --queue second --drain lets the first run empty
    and halts its workers, then the second, which by then has all that it will ever get. Without --queue, --drain
    waits until all queues are empty together.

    Workers whose app has not installed `answer_halt` cannot answer; they are told with Celery's own
    `shutdown`, and count as stopped when they have left the control bus, where their last tasks may still
    be running.

    Exit codes: 0 all have stopped, or there are none; 1 one has not, or the queues did not run empty; 2
    wrong use; 3 no broker answers.
    """
    from proj.commands.queues.halt_workers import Halt

    Halt(ctx.obj.app, broker_api=broker_api, as_json=as_json).run(
        queues=queues,
        worker=worker,
        drain_timeout_s=drain_timeout if drain else None,
        timeout_s=timeout,
    )
