"""A private RabbitMQ node, in a folder of its own and on loopback, that leaves nothing behind."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kombu import Connection

from proj.broker.management_api import Management
from proj.broker.version import BrokerVersion
from proj.errors import DeadlinePassed, NoManagement, ProcessEnded
from proj.lab.processes.ports import LOOPBACK, free_port, is_free
from proj.lab.processes.process import Process
from proj.lab.rabbitmq import installation
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proj.lab.processes.guard import Guard

#: Seconds until a node must answer; 4 s to 8 s were measured on two cores.
START_TIMEOUT_S = 90.0
#: Seconds until a node must have stopped; 1 s to 6 s were measured.
STOP_TIMEOUT_S = 30.0
#: Seconds that a `rabbitmqctl` command may take; 2 s were measured, most of them its own start.
ORDER_TIMEOUT_S = 60.0
#: Seconds that the management API may take; on two cores with a load of 45 it took more than 5 s.
MANAGEMENT_TIMEOUT_S = 60.0
USER = "proj"
#: The user of a new RabbitMQ, and its password. RabbitMQ's tutorials use it.
GUEST = "guest"


class Broker(Service):
    """One RabbitMQ node with the management plug-in and our policies.

    It may be stopped or killed, and started again with its data. Its ports and its password stay the same.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        folder: Path | None = None,
        port: int | None = None,
        management_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        guest: bool = False,
        version: str | None = None,
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

        Raises:
            MissingProgram: this RabbitMQ is not there.
        """
        self._installation = installation(version)
        self.port = port or free_port()
        self.management_port = management_port or free_port()
        self._keeps_data = folder is not None
        self._has_guest = guest
        self.folder = folder or guard.folder / f"broker-{secrets.token_hex(4)}"
        _make_private(self.folder)
        self.password = self._kept_password()
        self._epmd_port = free_port()
        self._environment = environment = self._configure(settings or {})
        self._epmd = Process(
            "epmd",
            [self._installation.epmd, "-port", str(self._epmd_port), "-address", LOOPBACK],
            guard=guard,
            environment=environment,
            log=self.folder / "epmd.log",
        )
        self._server = Process(
            "rabbitmq-server",
            [self._installation.server],
            guard=guard,
            environment=environment,
            log=self.folder / "rabbitmq.log",
        )
        self.management = Management(self.management_url, timeout_s=MANAGEMENT_TIMEOUT_S)

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
    def management_url(self) -> str:
        """The URL of the management API, with user and password, as Flower and `queues` take it."""
        return f"http://{USER}:{self.password}@{LOOPBACK}:{self.management_port}/api/"

    def url(self, vhost: str = "/") -> str:
        """The AMQP URL of one of its virtual hosts; / is written %2F, which every client understands."""
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}/{quote(vhost, safe='')}"

    def start(self) -> None:
        """Start the node, and return when it answers AMQP and HTTP."""
        # First, because the node would start an epmd that outlives it.
        self._epmd.start()
        self._epmd.wait_until_ready(lambda: not is_free(self._epmd_port), timeout_s=START_TIMEOUT_S)
        self._server.start()
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
        self._epmd.stop()

    def kill(self) -> None:
        """Kill the node by SIGKILL; its data stay in the folder."""
        self._server.kill()

    def restart(self) -> None:
        """Stop the node in order, and start it again with the same ports and data."""
        self._server.stop(STOP_TIMEOUT_S)
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
        local = {
            kind: [{key: value for key, value in row.items() if key != "vhost"} for row in rows]
            for kind, rows in packaged_definitions().items()
            if kind in {"exchanges", "queues", "bindings", "policies"}
        }
        self.management.request("POST", f"definitions/{there}", local)
        return self.url(name)

    def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with its queues and messages."""
        self.management.request("DELETE", f"vhosts/{quote(name, safe='')}")

    def _kept_password(self) -> str:
        """The password of an earlier node of this folder, or a new random one."""
        kept = self.folder / "password"
        if not kept.exists():
            _write_private(kept, secrets.token_urlsafe(16))
        return kept.read_text()

    def _configure(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Write the node's configuration, and return its whole environment; it inherits only PATH."""
        folder = self.folder
        definitions = packaged_definitions()
        (ours,) = definitions["users"]
        ours.update(name=USER, password_hash=hash_password(self.password))
        if self._has_guest:
            definitions["users"].append({**ours, "name": GUEST, "password_hash": hash_password(GUEST)})
            definitions["permissions"] += [{**each, "user": GUEST} for each in definitions["permissions"]]
        _write_private(folder / "definitions.json", json.dumps(definitions))
        configuration: dict[str, object] = {
            "listeners.tcp.default": f"{LOOPBACK}:{self.port}",
            "management.tcp.ip": LOOPBACK,
            "management.tcp.port": self.management_port,
            "load_definitions": folder / "definitions.json",
        }
        if self._installation.version.knows_anonymous_login:
            # By default a client without a login enters as guest.
            configuration["anonymous_login_user"] = "none"
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
        for name in ("epmd.log", "rabbitmq.log"):
            (folder / name).touch(mode=0o600)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            # The script then execs the node, so the child's id is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_ERLANG_COOKIE": secrets.token_hex(16),
            # It has its own epmd, so the name need not be unique on the machine.
            "RABBITMQ_NODENAME": "lab@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
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

    def _answers(self) -> bool:
        connection = Connection(self.url(), connect_timeout=2)
        errors: tuple[type[BaseException], ...] = (NoManagement, *connection.connection_errors)
        try:
            connection.connect()
            self.management.request("GET", "overview")
        except errors:
            return False
        finally:
            connection.release()
        return True


def packaged_definitions() -> dict[str, Any]:
    """The policies, the dead-letter queue and the user of `definitions.json`, which docker-compose.yml mounts too."""
    text = resources.files("proj.lab").joinpath("definitions.json").read_text()
    definitions: dict[str, Any] = json.loads(text)
    return definitions


def hash_password(password: str) -> str:
    """The password as RabbitMQ stores it: base64(salt + sha256(salt + password)).

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _make_private(folder: Path) -> None:
    """Make a folder that only its owner can read, because messages lie in it; another's folder stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_ours = (folder / "password").exists() or not any(folder.iterdir())
    if is_ours and folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, because it may hold a password."""
    path.touch(mode=0o600)
    path.write_text(text)
