"""`celery -A proj lab`: the commands that start brokers and workers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.lab.drill import drill
from proj.commands.lab.pipeline import pipeline
from proj.commands.lab.run import run
from proj.commands.lab.soak import soak
from proj.commands.terminal.command import Group
from proj.commands.terminal.options import nodes_option, rabbitmq_version_option

if TYPE_CHECKING:
    from proj.lab.certificates import Tls


@click.group(cls=Group)
def lab() -> None:
    """Private brokers, repeatable measurements, and injected faults."""


@lab.command(cls=CeleryCommand)
@click.option("--port", type=click.IntRange(1, 65535), help="AMQP port.  [default: 5672 when free, else another]")
@click.option(
    "--management-port",
    type=click.IntRange(1, 65535),
    help="Port of the management page.  [default: 15672 when free, else another]",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data in this folder for the next start.  [default: none are kept]",
)
@click.option(
    "--guest",
    is_flag=True,
    help="Make the user guest too, with the password guest, as a new RabbitMQ has: for the programs of "
    "RabbitMQ's tutorials, unchanged.",
)
@click.option(
    "--tls",
    type=click.Choice(["server", "mutual"]),
    is_flag=False,
    flag_value="server",
    help="Speak only TLS, with a private CA. With `--tls mutual` clients need a certificate too.",
)
@nodes_option
@rabbitmq_version_option
@click.pass_context
@handle_preload_options
def broker(
    ctx: click.Context,
    *,
    port: int | None,
    management_port: int | None,
    folder: Path | None,
    guest: bool,
    tls: Tls | None,
    nodes: int,
    version: str | None,
) -> None:
    """Run a private RabbitMQ until Ctrl-C.

    It listens on loopback only, with a random password, the management plug-in and our policies. It prints on
    stdout the variables to export, with which workers, `send`, `queues` and Flower find it.

    With --guest the tutorials' programs find it unchanged, at localhost:5672. When that port is not free, it takes
    another one and prints what to change in them. Without --guest there is no such user.

    With --nodes 3 it is a cluster of three nodes, whose queues have a member on each. All three addresses are in
    CELERY_BROKER_URL. It prints the process of each node, so that you can kill one and see what happens. It ends when
    all of them have ended.

    With --tls it speaks only TLS, AMQP and management page alike. It makes a CA and certificates for localhost, and
    prints the variables that name their files. --tls mutual refuses clients that have no certificate of this CA. The
    nodes of a cluster have one CA, and speak without TLS to each other.

    Exit codes: 0 ended by Ctrl-C; 1 it did not start, or ended by itself; 2 wrong use.
    """
    del ctx
    from proj.commands.lab.broker import run_broker

    run_broker(
        port=port,
        management_port=management_port,
        folder=folder,
        guest=guest,
        version=version,
        nodes=nodes,
        tls=tls,
    )


lab.add_command(run)
lab.add_command(drill)
lab.add_command(pipeline)
lab.add_command(soak)
