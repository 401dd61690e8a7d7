"""A private RabbitMQ cluster: several nodes on loopback, which start together and leave nothing behind."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from proj.errors import NoManagement
from proj.lab.broker import START_TIMEOUT_S, Broker
from proj.lab.certificates import certificates_in
from proj.lab.definitions import spread_definitions
from proj.lab.epmd import Epmd
from proj.lab.node_files import Member, kept_password, make_private
from proj.lab.processes.waiting import wait_until
from proj.lab.rabbitmq import installation
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from proj.broker.management_api import Management
    from proj.broker.version import BrokerVersion
    from proj.lab.certificates import Tls
    from proj.lab.processes.guard import Guard


def private_broker(
    guard: Guard, *, nodes: int = 1, settings: Mapping[str, str] | None = None, version: str | None = None
) -> Broker | Cluster:
    """A broker of one node or a cluster of several, which is not started yet; the arguments are those of both.

    Raises:
        MissingProgram: this RabbitMQ is not there.
    """
    if nodes == 1:
        return Broker(guard, settings=settings, version=version)
    return Cluster(guard, nodes=nodes, settings=settings, version=version)


class Cluster(Service):
    """RabbitMQ nodes that know each other, with one user and one password; each of them is a `Broker` too.

    A quorum queue that a client declares has a member on three nodes, and one for tasks has its leader on any of them.
    """

    def __init__(  # noqa: PLR0913 keyword-only, each with a default
        self,
        guard: Guard,
        *,
        nodes: int = 3,
        folder: Path | None = None,
        ports: Sequence[int | None] = (),
        management_ports: Sequence[int | None] = (),
        settings: Mapping[str, str] | None = None,
        guest: bool = False,
        version: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Choose ports and a password.

        Args:
            guard: owner of the nodes' processes.
            nodes: how many.
            folder: keeps the data of all nodes; without it the data are removed with the guard's folder.
            ports: AMQP ports of the first nodes; the others get free ones.
            management_ports: ports of the management API likewise.
            settings: as in `Broker`, of each node.
            guest: as in `Broker`.
            version: as in `Broker`.
            tls: as in `Broker`; all nodes have one CA. They speak without TLS to each other.

        Raises:
            MissingProgram: this RabbitMQ is not there, or what makes certificates.
        """
        home = folder or guard.folder / f"cluster-{secrets.token_hex(4)}"
        make_private(home)
        password = kept_password(home)
        programs = installation(version)
        self._begins_with_first = not programs.version.forms_cluster_at_once
        self._epmd = Epmd(programs, home, guard=guard)
        names = tuple(f"lab{number}@localhost" for number in range(1, nodes + 1))
        cookie = secrets.token_hex(16)
        #: None when it does not speak TLS.
        self.certificates = certificates_in(home / "tls", demanded=tls == "mutual") if tls else None
        given, given_management = ([*each, *[None] * nodes] for each in (ports, management_ports))
        self.nodes = [
            Broker(
                guard,
                folder=home / name.partition("@")[0],
                port=given[number],
                management_port=given_management[number],
                settings=settings,
                guest=guest,
                version=version,
                member=Member(
                    name=name,
                    # The first would wait for the others.
                    peers=names[:1] if self._begins_with_first and not number else names,
                    cookie=cookie,
                    password=password,
                    epmd=self._epmd.environment,
                    certificates=self.certificates,
                    keeps_data=folder is not None,
                ),
            )
            for number, name in enumerate(names)
        ]

    # --- As of one broker ---------------------------------------------------------------------------

    @property
    def first_up(self) -> Broker:
        """The first node that runs; the first of all when none does."""
        return next((node for node in self.nodes if node.running), self.nodes[0])

    @property
    def management(self) -> Management:
        """The management API of a node that runs."""
        return self.first_up.management

    @property
    def management_url(self) -> str:
        """The URLs of all nodes' management APIs, with `;` between them."""
        return ";".join(node.management_url for node in self.nodes)

    @property
    def port(self) -> int:
        """The AMQP port of the first node."""
        return self.nodes[0].port

    @property
    def pid(self) -> int:
        """The process id of the first node."""
        return self.nodes[0].pid

    @property
    def password(self) -> str:
        """The password of the user."""
        return self.nodes[0].password

    @property
    def running(self) -> bool:
        """Whether any node runs."""
        return any(node.running for node in self.nodes)

    @property
    def version(self) -> BrokerVersion:
        """The version of a node that runs."""
        return self.first_up.version

    def url(self, vhost: str = "/") -> str:
        """The AMQP URLs of all nodes, with `;` between them, as Celery takes them."""
        return ";".join(node.url(vhost) for node in self.nodes)

    def log_text(self) -> str:
        """Everything that the nodes have printed, node by node."""
        return "\n".join(f"--- {node.name}\n{node.log_text()}" for node in self.nodes)

    def log_tail(self) -> str:
        """The last lines of each node that has ended, or of all."""
        ended = [node for node in self.nodes if not node.running] or self.nodes
        return "\n".join(f"--- {node.name}\n{node.log_tail()}" for node in ended)

    def order(self, *words: str) -> str:
        """What `rabbitmqctl` of a node that runs prints; the errors are those of `Broker.order`."""
        return self.first_up.order(*words)

    def add_vhost(self, name: str) -> str:
        """Make a virtual host with our policies on all nodes, and return its AMQP URLs."""
        self.first_up.add_vhost(name)
        self._await_vhost(name)
        return self.url(name)

    def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with its queues and messages; while a node is down that takes minutes, so it stays."""
        if all(node.running for node in self.nodes):
            self.first_up.remove_vhost(name)

    # --- Start and stop -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes that do not run, at the same time; return when each answers and knows all others."""
        self._epmd.start()
        began = [node for node in self.nodes if not node.running]
        begins_with_first = self._begins_with_first and self.nodes[0].is_new
        for node in began:
            node.launch()
            if node is self.nodes[0] and begins_with_first:
                node.await_answer()
        for node in began:
            node.await_answer()
        wait_until(self._is_whole, what="all nodes to know each other", timeout_s=START_TIMEOUT_S)
        # Again after each start, because a broker with kept data may have lost its queue meanwhile.
        wait_until(self._has_queues, what="the queue of dead letters", timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        """End all nodes and their epmd: in order when the data are kept."""
        for node in self.nodes:
            node.stop()
        self._epmd.stop()

    def kill(self) -> None:
        """Kill all nodes by SIGKILL; their data stay."""
        for node in self.nodes:
            node.kill()

    def restart(self) -> None:
        """Stop all nodes in order, and start them again with the same ports and data."""
        for node in self.nodes:
            node.end()
        self.start()

    def _is_whole(self) -> bool:
        return all(self._sees_all(node) for node in self.nodes)

    def _has_queues(self) -> bool:
        # A busy node may close the connection before it has answered.
        with suppress(NoManagement):
            self.management.request("POST", "definitions", spread_definitions())
            return True
        return False

    def _sees_all(self, node: Broker) -> bool:
        with suppress(NoManagement):
            rows = node.management.request("GET", "nodes?columns=name,running")
            return sum(bool(row.get("running")) for row in rows) == len(self.nodes)
        return False

    def _await_vhost(self, name: str) -> None:
        """Return when the virtual host is up on each node that runs: others start it a moment later."""

        def is_up() -> bool:
            states = self.management.request("GET", f"vhosts/{quote(name, safe='')}").get("cluster_state") or {}
            return all(states.get(node.name) == "running" for node in self.nodes if node.running)

        wait_until(is_up, what=f"the virtual host {name} on all nodes", timeout_s=START_TIMEOUT_S)
