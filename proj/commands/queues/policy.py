"""`celery -A anyapp queues policy`: whether the broker keeps the messages that the app's queues give up."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option

#: Bytes that AMQP allows a queue's name.
LONGEST_NAME = 255


@click.command(cls=CeleryCommand)
@click.option("--apply", "apply_it", is_flag=True, help="Make what is missing, for the covered queues only.")
@click.option(
    "--max-length",
    type=click.IntRange(min=0),
    help="Messages that may wait in each queue. The broker refuses more, and the sender gets an error. 0: no limit.  "
    "[default: as it is]",
)
@click.option(
    "--queue",
    "additional",
    multiple=True,
    metavar="NAME",
    help="Another queue to cover, such as one of worker -Q or of proj.messaging. Can be given several times.",
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
    additional: tuple[str, ...],
    as_json: bool,
    broker_api: str | None,
) -> None:
    """Show where the app's queues send dead letters, their length limits, and what is missing.

    Covered are the queues of task_queues (without it the default queue), the queues that task_routes and
    proj_adopt name, and each --queue NAME. Queues that only a router function or worker -Q names are not known.

    The broker drops a message that is rejected, or delivered more often than the queue's limit, unless the queue
    has a dead-letter exchange. --apply makes the exchange, the dead-letter queue and the binding. For each covered
    queue that lacks it, it makes a policy called proj.dead_letters.QUEUE. It changes no policy with another name:
    where such a policy applies to a queue, it changes nothing and says what to add to that policy.

    With --max-length a full queue refuses new messages (reject-publish). A sender that uses confirms gets an
    error that it can retry, and the queue cannot fill the broker's disk while all workers are busy. The
    dead-letter queue has no limit.

    A limit stays until another is given; --apply --max-length 0 takes it away. A broker of `lab broker` or
    docker-compose.yml has our policies from the start. There the limit is another policy,
    proj.dead_letters.QUEUE, with the same keys and a higher priority. It is removed with the limit.

    Exit codes: 0 nothing is missing; 1 something is, or could not be made; 2 wrong use; 3 no management
    API answers.
    """
    for name in additional:
        if not 0 < len(name.encode(errors="surrogateescape")) <= LONGEST_NAME:
            raise click.UsageError(f"--queue is {name[:40]!r}, but must have 1 to {LONGEST_NAME} bytes.")
    from proj.broker.queue_depths import QueueDepths
    from proj.broker.version import BrokerVersion
    from proj.commands.queues.policy_table import show_policy
    from proj.delivery.dead_letters.app_queues import dead_letter_queue, queue_types
    from proj.delivery.dead_letters.policies import QueuePolicies
    from proj.lab.definitions import shipped_policies

    app = ctx.obj.app
    management = QueueDepths(app, broker_api=broker_api).management
    policies = QueuePolicies(
        management,
        vhost=app.connection_for_write().virtual_host or "/",
        queue_types=queue_types(app, additional),
        dead_letters=dead_letter_queue(app),
        max_length=max_length,
        shipped=shipped_policies(),
        version=BrokerVersion.read(management.request("GET", "overview").get("rabbitmq_version")),
    )
    if apply_it:
        policies.apply()
    show_policy(policies, as_json=as_json)
