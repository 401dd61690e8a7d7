"""`celery -A anyapp queues topology`: what must exist on the broker, and who may do what there."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import broker_api_option


@click.command(cls=CeleryCommand)
@click.option("--definitions", "as_definitions", is_flag=True, help="Print a definitions file that RabbitMQ imports.")
@click.option("--check", is_flag=True, help="Print what the broker lacks or has otherwise; exit code 1 if anything.")
@click.option("--roles", "as_roles", is_flag=True, help="Print the permissions that each kind of user needs.")
@click.option(
    "--rabbitmqctl", "as_orders", is_flag=True, help="With --roles: print the rabbitmqctl commands that give them."
)
@click.option(
    "--queue",
    "additional",
    multiple=True,
    metavar="NAME",
    help="Another queue, such as one of worker -Q. Can be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@broker_api_option
@click.pass_context
@handle_preload_options
def topology(
    ctx: click.Context,
    *,
    as_definitions: bool,
    check: bool,
    as_roles: bool,
    as_orders: bool,
    additional: tuple[str, ...],
    as_json: bool,
    broker_api: str | None,
) -> None:
    """Print the queues, exchanges, bindings and policies that must exist for the app.

    An app with proj_declare = False declares none of them: somebody else makes them, from the file of
    --definitions:

    \b
    celery -A yourapp queues topology --definitions > yourapp.json
    rabbitmqctl import_definitions yourapp.json
    celery -A yourapp queues topology --check

    Covered are the queues of task_queues (without it the default queue), the queues that task_routes and
    proj_adopt name, and each --queue NAME. Queues that only a router function or worker -Q names are not known.
    What is marked optional may be left out, and the table says what does not work then.

    --roles prints the permissions of users of an app that declares nothing: of a publisher, a worker, a monitor
    (dashboard and journal), an operator (dead letters, policies, pauses, halts) and the platform, who imports the
    file. With --definitions it prints permissions that RabbitMQ imports, once the users are there.

    --check asks the management API. It needs a user with the tag policymaker to see policies.

    Exit codes: 0 printed, or the broker has it all; 1 something is missing or unlike; 2 wrong use; 3 no broker
    answers, or no management API.
    """
    if sum((as_definitions, check, as_orders, as_json and not check)) > 1:
        raise click.UsageError(
            "Give one of --definitions, --rabbitmqctl, --json and --check; --check also with --json."
        )
    if as_roles and check:
        raise click.UsageError("--check does not look at permissions: give it without --roles.")
    if as_orders and not as_roles:
        raise click.UsageError("--rabbitmqctl belongs to --roles.")
    from proj.commands.queues.topology import show
    from proj.delivery.topology.app_topology import topology as topology_of
    from proj.delivery.topology.roles import roles

    app = ctx.obj.app
    vhost = app.connection_for_write().virtual_host or "/"
    if as_roles:
        show.show_roles(
            roles(app, additional),
            vhost,
            prefix=str(app.main or "app"),
            form="definitions" if as_definitions else "rabbitmqctl" if as_orders else "json" if as_json else None,
        )
        return
    parts = topology_of(app, additional)
    if as_definitions:
        show.show_definitions(parts, vhost)
    elif check:
        show.show_differences(app, parts, vhost, additional=additional, broker_api=broker_api, as_json=as_json)
    else:
        show.show_parts(parts, vhost, as_json=as_json)
