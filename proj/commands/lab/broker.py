"""Runs a private broker in the foreground."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from proj.broker.management_api import DEFAULT_PORT as MANAGEMENT_PORT
from proj.broker.management_api import TLS_PORT as MANAGEMENT_TLS_PORT
from proj.commands.terminal.console import echo
from proj.commands.terminal.interrupt import Interrupted, interruptible
from proj.errors import ProjError
from proj.lab.broker import Broker
from proj.lab.cluster import Cluster
from proj.lab.definitions import GUEST, USER
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import demanded_port, free_port, is_free
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.certificates import Tls

AMQP_PORT, AMQPS_PORT = 5672, 5671


def run_broker(
    *,
    port: int | None,
    management_port: int | None,
    folder: Path | None,
    guest: bool = False,
    version: str | None = None,
    nodes: int = 1,
    tls: Tls | None = None,
) -> None:
    """Run a broker until it is interrupted, and print how to reach it; with `guest`, also for the tutorials' programs.

    With several `nodes` it is a cluster, and the ports are those of the first node.

    Raises:
        InvalidSetting: a port that the user asked for is not free.
        MissingProgram: this version of RabbitMQ is not there, or what makes certificates.
        ProjError: the broker did not start, or ended by itself.
    """
    with Guard() as guard:
        usual, usual_page = (AMQPS_PORT, MANAGEMENT_TLS_PORT) if tls else (AMQP_PORT, MANAGEMENT_PORT)
        first = demanded_port("--port", port) if port else free_port(usual)
        first_page = demanded_port("--management-port", management_port) if management_port else free_port(usual_page)
        kept = folder.absolute() if folder else None
        broker: Broker | Cluster
        if nodes == 1:
            broker = Broker(
                guard,
                port=first,
                management_port=first_page,
                folder=kept,
                guest=guest,
                version=version,
                tls=tls,
            )
        else:
            broker = Cluster(
                guard,
                nodes=nodes,
                ports=(first, *(free_port(first + more) for more in range(1, nodes))),
                management_ports=(first_page, *(free_port(first_page + more) for more in range(1, nodes))),
                folder=kept,
                guest=guest,
                version=version,
                tls=tls,
            )
        # Before the broker listens on its port.
        programs = _programs(first)
        try:
            with interruptible("The broker has ended."):
                echo("Starting RabbitMQ …", err=True)
                with broker:
                    echo(f"export CELERY_BROKER_URL={_quoted(broker.url())}")
                    echo(f"export FLOWER_BROKER_API={_quoted(broker.management_url)}")
                    for line in _files(broker):
                        echo(line)
                    for line in _answers(broker):
                        echo(line, err=True)
                    if guest:
                        echo(f"The user {GUEST}, password {GUEST}, may use it too{programs}.", err=True)
                    wait_until(lambda: not broker.running, what="the end of the broker", timeout_s=float("inf"))
                    raise ProjError(f"RabbitMQ ended by itself:\n{broker.log_tail()}")
        except Interrupted as interruption:
            echo(interruption.message, err=True)


def _answers(broker: Broker | Cluster) -> list[str]:
    """Where it answers, in one sentence for one node, and else one more line for each node."""
    login = f"user {USER}, password {broker.password}"
    if isinstance(broker, Broker):
        return [
            f"RabbitMQ answers on port {broker.port}; its page is {broker.management.page} ({login}). Ctrl-C ends it."
        ]
    lines = [
        f"  {node.name} answers on port {node.port}; its page is {node.management.page}; its process is {node.pid}"
        for node in broker.nodes
    ]
    return [f"RabbitMQ has {len(lines)} nodes ({login}). Ctrl-C ends them.", *lines]


def _files(broker: Broker | Cluster) -> list[str]:
    """The variables that name the files of a broker with TLS."""
    if broker.certificates is None:
        return []
    files = {"PROJ_BROKER_CA": broker.certificates.ca}
    if broker.certificates.demanded:
        files["PROJ_BROKER_CERTIFICATE"] = broker.certificates.client
    return [f"export {name}={shlex.quote(str(path))}" for name, path in files.items()]


def _quoted(value: str) -> str:
    """The value as a shell reads it: several addresses have a `;` between them."""
    return f"'{value}'" if ";" in value else value


def _programs(port: int) -> str:
    """Whether the tutorials' programs, which know only port 5672, find this broker; if not, what to change in them."""
    if port == AMQP_PORT:
        return ": the programs of RabbitMQ's tutorials run as they are"
    why = "" if is_free(AMQP_PORT) else ", where another program listens"
    return (
        f", but the programs of RabbitMQ's tutorials connect to port {AMQP_PORT}{why}: change them to "
        f"pika.ConnectionParameters(host='localhost', port={port}), or start this again when that port is free"
    )
