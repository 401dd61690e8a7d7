"""`celery -A anyapp queues halt`: stops any number of workers, as the tutorials' poison pill stops one."""

from __future__ import annotations

from typing import Any

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import Seconds, action_journal_option, broker_api_option


@click.command(cls=CeleryCommand)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Only the workers that consume from this queue. Given several times: one queue after the other.",
)
@click.option("--worker", help="Only this worker, by its node name.")
@click.option("--drain", is_flag=True, help="First wait until the queues are empty.")
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=Seconds(min=0),
    default=600,
    show_default=True,
    help="Seconds that --drain may take in all. If it takes longer, no worker of that queue or a later one is halted.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min=0),
    default=60,
    show_default=True,
    help="Seconds to wait until the workers have stopped.",
)
@click.option("--yes", is_flag=True, help="Without --queue and --worker: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@action_journal_option
@broker_api_option
@click.pass_context
@handle_preload_options
def halt(
    ctx: click.Context,
    *,
    drain: bool,
    drain_timeout_s: float,
    as_json: bool,
    broker_api: str | None,
    **options: Any,  # noqa: ANN401 further arguments of `Halt.run`
) -> None:
    """Stop workers without losing work: running tasks are finished, held messages go back to their queue.

    Without --queue and --worker it halts the workers of the app, and no other worker of the virtual host: those that
    have all of the app's tasks registered, or some and no other. It says which, and asks first. For that it imports
    the app's tasks.

    A poison pill is a message that stops the one consumer that gets it. To stop many consumers takes as many
    pills, or a broadcast. Pills must be counted while consumers come and go, one consumer may take two of them,
    and each waits behind all other messages. So this command broadcasts on Celery's control bus: each worker gets
    it once, beside its queue, and answers before it stops. With --drain it waits for the end of the queue, as
    a pill does.

    To end a pipeline stage by stage: --queue first --queue second --drain waits until the first queue is empty and
    halts its workers, then the same for the second. Without --queue, --drain waits until all queues of the workers
    are empty at the same time.

    Workers whose app has not installed `answer_halt` cannot answer. They get Celery's own `shutdown`, and count as
    stopped when they have left the control bus. Their last tasks may still be running then.

    Exit codes: 0 all workers have stopped, or there is none; 1 a worker has not, or a queue did not run empty; 2
    wrong use; 3 no broker answers.
    """
    from proj.commands.queues.halt_workers import Halt

    Halt(ctx.obj.app, broker_api=broker_api, as_json=as_json).run(
        drain_timeout_s=drain_timeout_s if drain else None, **options
    )
