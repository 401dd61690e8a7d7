"""`celery -A anyapp queues policy`: whether the broker keeps what the app's queues give up."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.broker_api import broker_api_option


@click.command(cls=CeleryCommand)
@click.option("--apply", "apply_it", is_flag=True, help="Make what is missing, for exactly these queues.")
@click.option(
    "--max-length",
    type=click.IntRange(min=0),
    help="Messages that may wait in each queue; the next is refused, and its sender told. 0 is without limit.  "
    "[default: as it is]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@broker_api_option
@click.pass_context
@handle_preload_options  # type: ignore[untyped-decorator] # Celery has no types
def policy(
    ctx: click.Context, *, apply_it: bool, max_length: int | None, as_json: bool, broker_api: str | None
) -> None:
    """Show where the broker sends what the app's queues give up, how long they may be, and what is missing.

    A message that is rejected, or delivered more often than the queue allows, is dropped unless its queue
    has a dead-letter exchange. --apply makes the exchange, the queue and its binding, and for each queue
    of the app that lacks it a policy called proj.dead_letters.QUEUE. It touches no policy of another name.

    With --max-length a queue that is full refuses what is published (reject-publish), and whoever publishes
    with confirms gets an error that can be retried, instead of a queue that fills the broker's disk while
    all workers are busy. The dead letters have no limit.

    Exit codes: 0 nothing is missing; 1 something is, or could not be made; 2 wrong use; 3 no management
    API answers.
    """
    from proj.commands.policy_table import show_policy
    from proj.delivery.dead_letter import dead_letter_queue
    from proj.delivery.dead_letter_policy import DeadLetterPolicy
    from proj.depth import Gauge

    app = ctx.obj.app
    declared = {
        name: (queue.queue_arguments or {}).get("x-queue-type", "classic") for name, queue in app.amqp.queues.items()
    }
    policies = DeadLetterPolicy(
        Gauge(app, broker_api=broker_api).management,
        vhost=app.connection_for_write().virtual_host or "/",
        declared=declared,
        dead_letters=dead_letter_queue(app),
        max_length=max_length,
    )
    if apply_it:
        policies.apply()
    show_policy(policies, as_json=as_json)
