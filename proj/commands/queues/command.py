"""`celery -A anyapp queues`: shows how many messages and consumers every queue has; a group with six commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from celery.bin.base import handle_preload_options

from proj.commands.queues.dead import dead
from proj.commands.queues.halt import halt
from proj.commands.queues.pause import pause, resume
from proj.commands.queues.policy import policy
from proj.commands.queues.topology.command import topology
from proj.commands.terminal.command import Group
from proj.commands.terminal.options import Seconds, broker_api_option

if TYPE_CHECKING:
    from celery.app.utils import Settings


@click.group(cls=Group, invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Look repeatedly, until Ctrl-C, and show rates.")
@click.option(
    "--interval",
    type=Seconds(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--all", "show_all", is_flag=True, help="Show also the empty queues that Celery makes for itself.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line a look.")
@click.option(
    "--open",
    "open_page",
    is_flag=True,
    help="Print the address of the management page, open it in a browser where there is one, and end.",
)
@broker_api_option
@click.pass_context
@handle_preload_options
def queues(
    ctx: click.Context,
    *,
    watch: bool,
    interval: float,
    show_all: bool,
    as_json: bool,
    open_page: bool,
    broker_api: str | None,
) -> None:
    """Show how many messages and consumers the queues have now, as the broker counts them.

    \b
    ready           messages that wait for a worker
    unacknowledged  messages that a worker has and has not acknowledged yet
    consumers       of which a worker has one for each of its queues; in
                    adaptive dispatch it has several while tasks are short,
                    and on several queues none while it is busy

    With --watch also how they change, over the last 15 seconds:

    \b
    in/s, out/s     messages that came, and that were acknowledged
    growth/s        in/s minus out/s; messages that were purged or expired
                    count here only
    empty in        time until the queue is empty at this rate; never when it
                    does not shrink
    slots needed    busy slots that would finish as much as comes: in/s times
                    the mean time in work

    The rates are computed from the broker's counters, which are up to five seconds old. So the first rates take
    ten seconds, and all are approximate. The number of slots is not known (?) with early acknowledgement, or where
    workers hold more than one message a slot, as in adaptive dispatch while tasks are short. A length limit is
    shown as `ready / limit`. In a narrow terminal headings are shorter, names are folded, and some columns are left
    out.

    The counts come from RabbitMQ's management API, as `rabbitmqctl list_queues name messages_ready
    messages_unacknowledged` prints them. Where the API does not answer, the app's own queues are counted over
    AMQP, which knows neither unacknowledged nor acknowledged messages.

    Exit codes: 0 shown, also until Ctrl-C with --watch; 2 wrong use; 3 no broker answers.
    """
    if ctx.invoked_subcommand is not None:
        return
    from proj.broker.queue_depths import QueueDepths
    from proj.commands.queues.depth_table import open_management, show_depths

    queue_depths = QueueDepths(ctx.obj.app, broker_api=broker_api)
    if open_page:
        open_management(queue_depths)
    else:
        conf = ctx.obj.app.conf
        show_depths(
            queue_depths,
            interval_s=interval if watch else None,
            show_all=show_all,
            as_json=as_json,
            held_s=_held_s(conf),
        )


def _held_s(conf: Settings) -> float | None:
    """For how long the app's workers hold a message that no slot is free for; None when the settings set no limit."""
    if not conf.task_acks_late:
        return None
    # An app without our settings has neither.
    if conf.get("proj_dispatch") == "adaptive":
        return float(conf.get("proj_dispatch_budget_s", 0.0))
    return 0.0 if conf.worker_prefetch_multiplier == 1 else None


queues.add_command(dead)
queues.add_command(halt)
queues.add_command(pause)
queues.add_command(policy)
queues.add_command(resume)
queues.add_command(topology)
