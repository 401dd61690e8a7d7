"""The folder of a private RabbitMQ node: its configuration, its password, and the environment that names them."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.lab.definitions import definitions_at_start
from proj.lab.processes.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proj.broker.version import BrokerVersion
    from proj.lab.certificates import Certificates

#: It has its own epmd, so the name need not be unique on the machine.
ALONE = "lab@localhost"
#: Seconds without an answer after which a node of a cluster counts as gone, within a quarter of it. By default it is
#: 60, in which a frozen node stops its queues. Source: Erlang's kernel(6), net_ticktime
TICK_S = 8


@dataclass(frozen=True, kw_only=True)
class Member:
    """A node's place in a cluster: its name, the names of the nodes to join and its own, and what all nodes share."""

    name: str
    peers: tuple[str, ...]
    #: With which the nodes know each other, and the password of the user.
    cookie: str
    password: str
    #: The variables by which it finds the epmd of them all.
    epmd: Mapping[str, str]
    #: With which all nodes speak TLS to clients; None without TLS.
    certificates: Certificates | None
    #: Whether the data are kept, so that nodes are stopped in order.
    keeps_data: bool


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can read, because messages lie in it; another's folder stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_ours = (folder / "password").exists() or not any(folder.iterdir())
    if is_ours and folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)


def kept_password(folder: Path) -> str:
    """The password of an earlier node of this folder, or a new random one."""
    kept = folder / "password"
    if not kept.exists():
        _write_private(kept, secrets.token_urlsafe(16))
    return kept.read_text()


def listeners(port: int, management_port: int, certificates: Certificates | None) -> dict[str, object]:
    """The lines of rabbitmq.conf that say where a node listens: on loopback, and with certificates only for TLS."""
    if certificates is not None:
        return certificates.configuration(LOOPBACK, port, management_port)
    return {
        "listeners.tcp.default": f"{LOOPBACK}:{port}",
        "management.tcp.ip": LOOPBACK,
        "management.tcp.port": management_port,
    }


def write_node_files(
    folder: Path,
    *,
    password: str,
    listeners: Mapping[str, object],
    version: BrokerVersion,
    guest: bool,
    settings: Mapping[str, str],
    member: Member | None,
) -> None:
    """Write the configuration of a node with these listeners into its folder."""
    definitions = definitions_at_start(password, guest=guest, is_member=member is not None, version=version)
    _write_private(folder / "definitions.json", json.dumps(definitions))
    configuration: dict[str, object] = {**listeners, "load_definitions": folder / "definitions.json"}
    if version.knows_anonymous_login:
        # By default a client without a login enters as guest.
        configuration["anonymous_login_user"] = "none"
    if member is not None:
        configuration.update(_cluster_configuration(member, version))
    configuration.update(settings)
    _write_private(folder / "rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in configuration.items()))
    # Milliseconds. Quorum queues report their counts at the first tick, by default every 5 s. The second is when
    # RabbitMQ checks for a `consumer_timeout`, by default every minute.
    _write_private(
        folder / "advanced.config",
        "[{rabbit, [{quorum_tick_interval, 500}, {channel_tick_interval, 1000}]}].\n",
    )
    _write_private(folder / "enabled_plugins", "[rabbitmq_management].\n")
    for name in ("home", "data", "log"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    (folder / "rabbitmq.log").touch(mode=0o600)


def node_environment(folder: Path, member: Member | None) -> dict[str, str]:
    """The environment of the node of this folder, of one alone without its epmd's; of ours it inherits only PATH."""
    return {
        **(member.epmd if member is not None else {}),
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        # The script then execs the node, so the child's id is the node's.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_ERLANG_COOKIE": member.cookie if member is not None else secrets.token_hex(16),
        "RABBITMQ_NODENAME": member.name if member is not None else ALONE,
        "RABBITMQ_DIST_PORT": str(free_port()),
        # Neither the node nor `rabbitmqctl` starts an epmd when ours has ended. It would outlive them. Source: erl(1)
        "ERL_AFLAGS": "-start_epmd false",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }


def _cluster_configuration(member: Member, version: BrokerVersion) -> dict[str, object]:
    configuration: dict[str, object] = {
        "cluster_formation.peer_discovery_backend": "classic_config",
        # Nodes that start at the same time may find none of the others at first; by default they wait 0.5 s ten times.
        "cluster_formation.discovery_retry_limit": 60,
        "net_ticktime": TICK_S,
    }
    for number, name in enumerate(member.peers, start=1):
        configuration[f"cluster_formation.classic_config.nodes.{number}"] = name
    if version.pauses_minorities:
        # By default both parts of a partition go on, and one of them is thrown away later.
        configuration["cluster_partition_handling"] = "pause_minority"
    return configuration


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, because it may hold a password."""
    path.touch(mode=0o600)
    path.write_text(text)
