"""`celery -A anyapp health`: whether workers are alive, consuming and progressing."""

from __future__ import annotations

import click
from celery.bin.base import handle_preload_options

from proj.commands.terminal.command import Command
from proj.commands.terminal.options import Seconds, broker_api_option


@click.command(cls=Command)
@click.option("--worker", help="Only this worker, by its node name; it is unhealthy when it does not exist.")
@click.option(
    "--timeout",
    type=Seconds(min=0.1, max=60),
    default=5.0,
    show_default=True,
    help="Seconds that a worker may take to answer.",
)
@click.option(
    "--interval",
    type=Seconds(min=0.1, max=60),
    default=1.0,
    show_default=True,
    help="Seconds between the two readings, where one does not decide.",
)
@click.option(
    "--stuck-after",
    type=Seconds(min=0),
    help="Seconds after which a task that still runs counts as stuck.  [default: none does]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@broker_api_option
@click.pass_context
@handle_preload_options
def health(
    ctx: click.Context,
    *,
    worker: str | None,
    timeout: float,
    interval: float,
    stuck_after: float | None,
    as_json: bool,
    broker_api: str | None,
) -> None:
    """Show whether workers are alive, consuming and progressing, for people and for a container's probe.

    \b
    alive        it answers over Celery's control bus
    consuming    the broker has its consumers for the queues that it says it consumes
    progressing  it finishes tasks, or there are none for it to run

    Each is yes, no or unknown. A worker whose slots are all busy with long tasks looks like one that hangs, so
    its progress is unknown unless --stuck-after says how long is too long. Without the management API a worker
    that does not answer is found only when --worker names it. A worker of --pool solo does not answer while it
    runs a task, and needs a --timeout longer than its tasks.

    A queue whose dead letters RabbitMQ drops is named on stderr; that makes no worker unhealthy.

    Unknown does not count as unhealthy, because a probe would restart workers that are well. The app's tasks are
    not imported.

    Exit codes: 0 no worker is known to be unhealthy; 1 one is, or there is none; 2 wrong use; 3 no broker
    answers.
    """
    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import QueueDepths
    from proj.commands.health_table import show_health
    from proj.delivery.health.check import HealthCheck

    app = ctx.obj.app
    with ControlBus(app) as bus:
        check = HealthCheck(app, bus, QueueDepths(app, broker_api=broker_api).management, timeout_s=timeout)
        healths = check.run(worker=worker, interval_s=interval, stuck_after_s=stuck_after)
    show_health(healths, notes=[check.doubt, check.without_majority, check.dropped], as_json=as_json)
