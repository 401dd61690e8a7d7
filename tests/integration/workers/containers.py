"""Our broker and our worker as pytest-celery's containers: their addresses, and when they are ready."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pytest_celery import CeleryWorkerContainer, RabbitMQContainer

from proj.broker.management_api import Management
from proj.broker.queue_depths import depths_by_management
from proj.errors import NoManagement
from proj.lab.broker import MANAGEMENT_TIMEOUT_S
from proj.lab.definitions import packaged_definitions
from proj.lab.processes.ports import LOOPBACK
from proj.lab.processes.waiting import wait_until
from proj.queues import WORK_QUEUE
from tests.processes.images import AMQP_PORT, MANAGEMENT_PORT

if TYPE_CHECKING:
    from proj.broker.queue_depths import Depth

#: Seconds until a broker must answer: several times what it took on a loaded machine.
BROKER_TIMEOUT_S = 90.0
#: Seconds until a worker must be ready or must have logged what a test waits for; three were measured.
WORKER_TIMEOUT_S = 45.0


class BrokerContainer(RabbitMQContainer):  # type: ignore[misc] # pytest-celery ships no types
    """One RabbitMQ for the session, in which each test has its own virtual host."""

    #: Part of the addresses: `CeleryTestBroker.restart` computes them again.
    vhost = "/"
    #: pytest-celery reads it in the log, where it still stands after a restart; `ready` asks the broker instead.
    ready_prompt = None

    @property
    def port(self) -> int:
        """The AMQP port on loopback; pytest-celery gives the inner port on a machine with /.dockerenv."""
        return self._published(AMQP_PORT)

    @property
    def url(self) -> str:
        """The address for workers, inside the network."""
        return f"amqp://{self._credentials}@{self.hostname}/{self.vhost}"

    @property
    def host_url(self) -> str:
        """The address for the test."""
        return f"amqp://{self._credentials}@{LOOPBACK}:{self.port}/{self.vhost}"

    @property
    def management(self) -> Management:
        """Its management API."""
        url = f"http://{self._credentials}@{LOOPBACK}:{self._published(MANAGEMENT_PORT)}/api/"
        return Management(url, timeout_s=MANAGEMENT_TIMEOUT_S)

    def ready(self) -> bool:
        """Return when it listens for AMQP, which is the last step of its start.

        Raises:
            ContainerFailed: it ended first.
        """
        return wait_until(
            lambda: bool(super(BrokerContainer, self).ready()) and self._listens(),
            what=f"the broker {self.name} to be ready",
            timeout_s=BROKER_TIMEOUT_S,
        )

    def enter_vhost(self, name: str) -> None:
        """Make a virtual host with our policies and use it from now on."""
        definitions = packaged_definitions()
        del definitions["users"]
        definitions["vhosts"] = [{"name": name}]
        for kind in definitions.keys() - {"vhosts"}:
            definitions[kind] = [{**row, "vhost": name} for row in definitions[kind]]
        self.management.request("POST", "definitions", definitions)
        self.vhost = name

    def leave_vhost(self) -> None:
        """Delete the virtual host with everything in it."""
        # Deleting quorum queues that were just recovered may take longer than the request; the broker goes on.
        with contextlib.suppress(NoManagement):
            self.management.request("DELETE", f"vhosts/{self.vhost}")
        self.vhost = "/"

    def depth(self, queue: str = WORK_QUEUE) -> Depth | None:
        """The depth of a queue of the virtual host; None while there is no such queue, or no answer."""
        try:
            depths = depths_by_management(self.management, self.vhost)
        except NoManagement:
            return None
        return next((depth for depth in depths if depth.name == queue), None)

    def wait_for_depth(self, *, ready: int, unacknowledged: int = 0) -> None:
        """Return when the work queue has exactly so many messages."""
        expected = (ready, unacknowledged)

        def reached() -> bool:
            depth = self.depth()
            return depth is not None and (depth.ready, depth.unacknowledged) == expected

        wait_until(
            reached, what=f"{ready} ready and {unacknowledged} unacknowledged messages", timeout_s=WORKER_TIMEOUT_S
        )

    @property
    def _credentials(self) -> str:
        return f"{self.env['RABBITMQ_DEFAULT_USER']}:{self.env['RABBITMQ_DEFAULT_PASS']}"

    def _published(self, inside: str) -> int:
        """The port on loopback, from the definition, because the state has none while the broker is down."""
        return int(self.attrs["HostConfig"]["PortBindings"][inside][0]["HostPort"])

    def _listens(self) -> bool:
        try:
            self.management.request("GET", "health/checks/protocol-listener/amqp")
        except NoManagement:
            return False
        return True


class WorkerContainer(CeleryWorkerContainer):  # type: ignore[misc] # pytest-celery ships no types
    """`celery -A proj worker` on our work queue."""

    #: pytest-celery waits two minutes for it, in the log of all earlier starts; `ready` looks at the last start only.
    ready_prompt = None

    def __init__(self, container: Any) -> None:
        """Wrap it, before its first restart."""
        super().__init__(container)
        self._earlier_log_length = 0

    @classmethod
    def worker_name(cls) -> str:
        """The part of the node's name before the @."""
        return "worker"

    @classmethod
    def worker_queue(cls) -> str:
        """The queue that it consumes."""
        return WORK_QUEUE

    @classmethod
    def command(cls, *args: str, **_options: object) -> list[str]:
        """Celery's command line for our application."""
        return [
            *("celery", "-A", "proj", "worker", f"--loglevel={cls.log_level()}"),
            *("-n", f"{cls.worker_name()}@%h", "-Q", cls.worker_queue()),
            # Each would take a second at every start to look for other workers.
            *("--without-mingle", "--without-gossip"),
            *args,
        ]

    @classmethod
    def initial_env(
        cls, celery_worker_cluster_config: dict[str, Any], initial: dict[str, str] | None = None
    ) -> dict[str, str]:
        """The addresses of broker and backend, and what pytest-celery sets for Python."""
        environment: dict[str, str] = super().initial_env(celery_worker_cluster_config, initial)
        # It points to a volume of pytest-celery that we do not have, in the place of the image's own path.
        del environment["PYTHONPATH"]
        return environment

    def ready(self) -> bool:
        """Return when the worker consumes, since its last start.

        Raises:
            ContainerFailed: it ended first.
        """
        return wait_until(
            lambda: bool(super(WorkerContainer, self).ready()) and " ready." in self._log_since_last_start(),
            what=f"the worker {self.name} to be ready",
            timeout_s=WORKER_TIMEOUT_S,
        )

    def restart(self, timeout: int = 10) -> None:
        """Stop it if it runs, start it, and return when it is ready."""
        self._earlier_log_length = len(self.logs())
        super().restart(timeout)

    def wait_for_log(self, text: str, *, times: int = 1) -> None:
        """Return when the text stands so often in the log of all its starts."""
        wait_until(
            lambda: self.logs().count(text) >= times,
            what=f"{self.name} to log {text!r} {times} times",
            timeout_s=WORKER_TIMEOUT_S,
        )

    def wait_for_exit(self) -> int:
        """Wait for its end; the exit code."""

        def ended() -> bool:
            self.reload()
            return str(self.status) == "exited"

        wait_until(ended, what=f"the end of {self.name}", timeout_s=WORKER_TIMEOUT_S)
        return int(self.attrs["State"]["ExitCode"])

    def _log_since_last_start(self) -> str:
        return str(self.logs())[self._earlier_log_length :]
