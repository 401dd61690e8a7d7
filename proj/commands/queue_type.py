"""The option that says of which type the queues of a run are, the same for every command that measures one."""

from __future__ import annotations

import click

queue_type_option = click.option(
    "--queue-type",
    type=click.Choice(["quorum", "classic"]),
    envvar="PROJ_QUEUE_TYPE",
    show_envvar=True,
    default="quorum",
    show_default=True,
    help="Type of queue.",
)
