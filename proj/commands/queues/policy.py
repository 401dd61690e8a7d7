"""`celery -A anyapp queues policy`: whether the broker keeps what the app's queues give up."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option

#: Bytes that AMQP allows a queue's name.
LONGEST_NAME = 255


@click.command(cls=CeleryCommand)
@click.option("--apply", "apply_it", is_flag=True, help="Make what is missing, for exactly the covered queues.")
@click.option(
    "--max-length",
    type=click.IntRange(min=0),
    help="Messages that may wait in each queue; the next is refused, and its sender told. 0 is without limit.  "
    "[default: as it is]",
)
@click.option(
    "--queue",
    "also",
    multiple=True,
    metavar="NAME",
    help="Another queue to cover, such as one of worker -Q or of proj.messaging; may be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@broker_api_option
@click.pass_context
@handle_preload_options
def policy(
    ctx: click.Context,
    *,
    apply_it: bool,
    max_length: int | None,
    also: tuple[str, ...],
    as_json: bool,
    broker_api: str | None,
) -> None:
    """Show where the broker sends what the app's queues give up, how long they may be, and what is missing.

    Covered are the queues of task_queues (without it the default queue), those that task_routes and proj_adopt
    name, and each --queue NAME. What a router function chooses, or worker -Q alone, is not known here.

    A message that is rejected, or delivered more often than the queue allows, is dropped unless its queue
    has a dead-letter exchange. --apply makes the exchange, the queue and its binding, and for each covered
    queue that lacks it a policy called proj.dead_letters.QUEUE. It touches no policy of another name, and
    where one of others holds for a queue, it changes nothing and says what to add to that one.

    With --max-length a queue that is full refuses what is published (reject-publish), and whoever publishes
    with confirms gets an error that can be retried, instead of a queue that fills the broker's disk while
    all workers are busy. The dead letters have no limit.

    A limit stays until another is given; --apply --max-length 0 takes it away. On a broker of `lab broker`
    or docker-compose.yml, which has policies of ours from the start, the limit is a policy
    proj.dead_letters.QUEUE that says the same and has a higher priority, and goes with the limit.

    Exit codes: 0 nothing is missing; 1 something is, or could not be made; 2 wrong use; 3 no management
    API answers.
    """
    for name in also:
        if not 0 < len(name.encode(errors="surrogateescape")) <= LONGEST_NAME:
            raise click.UsageError(f"--queue is {name[:40]!r}, but must have 1 to {LONGEST_NAME} bytes.")
    from proj.broker.queue_depths import Gauge
    from proj.commands.queues.policy_table import show_policy
    from proj.delivery.dead_letters.app_queues import named_queues
    from proj.delivery.dead_letters.letter import dead_letter_queue
    from proj.delivery.dead_letters.policies import DeadLetterPolicy
    from proj.lab.broker import packaged_definitions

    app = ctx.obj.app
    policies = DeadLetterPolicy(
        Gauge(app, broker_api=broker_api).management,
        vhost=app.connection_for_write().virtual_host or "/",
        declared=named_queues(app, also),
        dead_letters=dead_letter_queue(app),
        max_length=max_length,
        shipped=packaged_definitions()["policies"],
    )
    if apply_it:
        policies.apply()
    show_policy(policies, as_json=as_json)
