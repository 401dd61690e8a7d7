"""A private RabbitMQ node, in a folder of its own and on loopback, that leaves nothing behind."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kombu import Connection
from kombu.exceptions import OperationalError

from proj.broker.management_api import Management
from proj.broker.version import BrokerVersion
from proj.errors import DeadlinePassed, NoManagement, ProcessEnded
from proj.lab.certificates import certificates_in
from proj.lab.definitions import GUEST, USER, vhost_definitions
from proj.lab.epmd import Epmd
from proj.lab.node_files import kept_password, listeners, make_private, node_environment, write_node_files
from proj.lab.plugin_folder import make_plugin_folder
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process
from proj.lab.rabbitmq import installation
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proj.lab.certificates import Tls
    from proj.lab.node_files import Member
    from proj.lab.processes.guard import Guard

#: Seconds until a node must answer; 3 s to 7 s were measured on two cores.
START_TIMEOUT_S = 180.0
#: Seconds until a node must have stopped; 1 s to 6 s were measured.
STOP_TIMEOUT_S = 30.0
#: Seconds that a `rabbitmqctl` command may take; 2 s were measured, most of them its own start.
ORDER_TIMEOUT_S = 60.0
#: Seconds that the management API may take; on two cores with a load of 45 it took more than 5 s.
MANAGEMENT_TIMEOUT_S = 60.0


class Broker(Service):
    """One RabbitMQ node with the management plug-in and our policies.

    It may be stopped or killed, and started again with its data. Its ports and its password stay the same.
    """

    def __init__(  # noqa: PLR0913 keyword-only, each with a default
        self,
        guard: Guard,
        *,
        folder: Path | None = None,
        port: int | None = None,
        management_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        guest: bool = False,
        version: str | None = None,
        member: Member | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Choose ports and a password.

        Args:
            guard: owner of the node's processes.
            folder: keeps the data; without it the data are removed with the guard's folder.
            port: AMQP port; a free one when None.
            management_port: port of the management API; a free one when None.
            settings: further lines of rabbitmq.conf by their keys, or other values in place of ours.
            guest: whether the user guest exists, with the well-known password and all permissions, as on a new
                RabbitMQ. When False, an earlier guest of the folder's data is deleted.
            version: of RabbitMQ, such as 4.3; without one that of `PROJ_RABBITMQ`, else the machine's own.
            member: its place in a cluster; without one it is alone.
            tls: whether it speaks only TLS, with certificates in its folder; see `Tls`. A member of a cluster has those
                of the cluster.

        Raises:
            MissingProgram: this RabbitMQ is not there, or what makes certificates.
        """
        self._installation = installation(version)
        self.port = port or free_port()
        self.management_port = management_port or free_port()
        self._keeps_data = folder is not None if member is None else member.keeps_data
        self._has_guest = guest
        self.folder = folder or guard.folder / f"broker-{secrets.token_hex(4)}"
        make_private(self.folder)
        self.password = kept_password(self.folder) if member is None else member.password
        #: None when it does not speak TLS.
        self.certificates = certificates_in(self.folder / "tls", demanded=tls == "mutual") if tls else None
        if member is not None:
            self.certificates = member.certificates
        write_node_files(
            self.folder,
            password=self.password,
            listeners=listeners(self.port, self.management_port, self.certificates),
            version=self._installation.version,
            guest=guest,
            settings=settings or {},
            member=member,
        )
        #: Its own; None in a cluster, which has one for all.
        self._epmd = Epmd(self._installation, self.folder, guard=guard) if member is None else None
        finding = self._epmd.environment if self._epmd is not None else {}
        self._environment = {**node_environment(self.folder, member), **finding}
        if scripts := make_plugin_folder(self._installation.home, self.folder / "installation"):
            self._environment["RABBITMQ_SCRIPTS_DIR"] = str(scripts)
        self.name = self._environment["RABBITMQ_NODENAME"]
        self._server = Process(
            "rabbitmq-server",
            [self._installation.server],
            guard=guard,
            environment=self._environment,
            log=self.folder / "rabbitmq.log",
        )
        self.management = Management(self.management_url, timeout_s=MANAGEMENT_TIMEOUT_S, tls=self.use_ssl)

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether the node's process runs."""
        return self._server.running

    @property
    def returncode(self) -> int | None:
        """The node's exit status as `subprocess` gives it; None while it runs."""
        return self._server.returncode

    @property
    def is_new(self) -> bool:
        """Whether the node has never been started."""
        return not any((self.folder / "data").iterdir())

    @property
    def version(self) -> BrokerVersion:
        """The version of the running node."""
        return BrokerVersion.read(
            self.management.request("GET", "overview?columns=rabbitmq_version")["rabbitmq_version"]
        )

    def log_text(self) -> str:
        """Everything that the node has printed."""
        return self._server.log_text()

    def log_tail(self) -> str:
        """The last lines that the node has printed."""
        return self._server.log_tail()

    @property
    def use_ssl(self) -> dict[str, Any] | None:
        """What a client of it needs as Celery's `broker_use_ssl`; None without TLS."""
        return None if self.certificates is None else self.certificates.of_client

    @property
    def management_url(self) -> str:
        """The URL of the management API, with user and password, as Flower and `queues` take it."""
        scheme = "http" if self.certificates is None else "https"
        return f"{scheme}://{USER}:{self.password}@{LOOPBACK}:{self.management_port}/api/"

    def url(self, vhost: str = "/") -> str:
        """The AMQP URL of one of its virtual hosts; / is written %2F, which every client understands."""
        scheme = "amqp" if self.certificates is None else "amqps"
        return f"{scheme}://{USER}:{self.password}@{LOOPBACK}:{self.port}/{quote(vhost, safe='')}"

    def start(self) -> None:
        """Start the node, and return when it answers AMQP and HTTP."""
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start the node, and return at once."""
        if self._epmd is not None:
            # First, because the node would start an epmd that outlives it.
            self._epmd.start()
        self._server.start()

    def await_answer(self) -> None:
        """Return when the node, which was started, answers AMQP and HTTP."""
        self._server.wait_until_ready(self._answers, timeout_s=START_TIMEOUT_S)
        if self._keeps_data and not self._has_guest:
            users = self.management.request("GET", "users?columns=name")
            if GUEST in {user["name"] for user in users}:
                self.management.request("DELETE", f"users/{GUEST}")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the node and its epmd: in order when the data are kept, else by SIGKILL, which is faster."""
        if self._keeps_data:
            self._server.stop(timeout_s)
        else:
            self._server.kill()
        if self._epmd is not None:
            self._epmd.stop()

    def kill(self) -> None:
        """Kill the node by SIGKILL; its data stay in the folder."""
        self._server.kill()

    def end(self) -> None:
        """Stop the node in order; its data stay in the folder."""
        self._server.stop(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop the node in order, and start it again with the same ports and data."""
        self.end()
        self.start()

    def order(self, *words: str) -> str:
        """What `rabbitmqctl` prints, for commands that the management API does not have.

        Raises:
            ProcessEnded: the command failed; the error has its output.
            DeadlinePassed: it did not end in time.
        """
        try:
            done = subprocess.run(
                [self._installation.ctl, "--quiet", *words],
                # `rabbitmqctl` is an Erlang node too, and listens while it runs.
                env={**self._environment, "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ORDER_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeadlinePassed(f"the end of rabbitmqctl {words[0]}", ORDER_TIMEOUT_S) from error
        if done.returncode:
            raise ProcessEnded(f"rabbitmqctl {words[0]}", done.returncode, done.stdout + done.stderr)
        return done.stdout

    def add_vhost(self, name: str) -> str:
        """Make a virtual host with our policies, and return its AMQP URL."""
        there = quote(name, safe="")
        self.management.request("PUT", f"vhosts/{there}", {})
        self.management.request("PUT", f"permissions/{there}/{USER}", {"configure": ".*", "write": ".*", "read": ".*"})
        self.management.request("POST", f"definitions/{there}", vhost_definitions(self._installation.version))
        return self.url(name)

    def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with its queues and messages."""
        self.management.request("DELETE", f"vhosts/{quote(name, safe='')}")

    def _answers(self) -> bool:
        connection = Connection(self.url(), connect_timeout=2, ssl=self.use_ssl or False)
        try:
            # Its `connect` sleeps for 2 s after a try that failed.
            connection.ensure_connection(max_retries=1, interval_start=0)
            self.management.request("GET", "overview")
        except (NoManagement, OperationalError):
            return False
        finally:
            connection.release()
        return True
