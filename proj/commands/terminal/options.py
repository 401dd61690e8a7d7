"""The option that says where RabbitMQ's management API is, the same for every command."""

from __future__ import annotations

import click

broker_api_option = click.option(
    "--broker-api",
    envvar="FLOWER_BROKER_API",
    show_envvar=True,
    help="The management API, such as http://user:password@localhost:15672/api/.  "
    "[default: the broker's host and credentials, port 15672]",
)

queue_type_option = click.option(
    "--queue-type",
    type=click.Choice(["quorum", "classic"]),
    envvar="PROJ_QUEUE_TYPE",
    show_envvar=True,
    default="quorum",
    show_default=True,
    help="Type of queue.",
)
