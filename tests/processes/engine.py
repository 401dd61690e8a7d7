"""The part of docker-py that pytest-celery calls, answered with processes of the operating system.

An image is a class of programs. A container is one process of it, with the processes that this one starts. A published
port is a port on loopback. A network is only a name, because every process can reach every other one. Such a container
has no file system, process table or resource limits of its own. Other calls of docker-py are missing on purpose: a test
must not use an option that would be ignored here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from secrets import token_hex
from signal import SIGKILL, Signals
from typing import TYPE_CHECKING, Any, NamedTuple

from docker.errors import APIError, ImageNotFound

from proj.lab.processes.ports import LOOPBACK, is_free
from proj.lab.processes.process import STOP_TIMEOUT_S
from tests.processes.images import AMQP_PORT
from tests.processes.program import Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proj.lab.processes.guard import Guard
    from tests.processes.program import Program

#: The command by which pytest-docker-tools sees which ports are open in a container.
LIST_SOCKETS = "cat /proc/net/tcp /proc/net/tcp6"
#: Seconds that a command inside a container may take.
EXEC_TIMEOUT_S = 30.0


class ExecResult(NamedTuple):
    """The result of a command inside a container."""

    exit_code: int
    output: bytes


class Container:
    """One program under docker-py's names; as there, `attrs` and `status` are those of the last `reload`."""

    def __init__(self, program: Program, definition: Definition, environment: Mapping[str, str]) -> None:
        """Take the program and its container's properties; `environment` is that of commands inside the container."""
        self.id = definition.id
        self.name = f"{definition.image}-{definition.short_id}"
        self.attrs: dict[str, Any] = {}
        self._program = program
        self._definition = definition
        self._environment = environment
        self.reload()

    @property
    def status(self) -> str:
        """`running` or `exited`."""
        return str(self.attrs["State"]["Status"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self._definition.labels

    def reload(self) -> None:
        """Read the state of the process into `attrs`."""
        definition = self._definition
        running = self._program.running
        bindings = {inside: [{"HostIp": LOOPBACK, "HostPort": str(port)}] for inside, port in definition.ports.items()}
        self.attrs = {
            "Config": {
                "Hostname": self._hostname(),
                "Env": [f"{name}={value}" for name, value in definition.environment.items()],
                "Labels": definition.labels,
            },
            "HostConfig": {"PortBindings": bindings},
            "NetworkSettings": {
                "Networks": {definition.network: {"IPAddress": LOOPBACK if running else ""}},
                "Ports": bindings if running else {},
            },
            "State": {"Status": "running" if running else "exited", "ExitCode": exit_code(self._program.returncode)},
        }

    def logs(self) -> bytes:
        """All its output, also from before a restart."""
        return self._program.log_text().encode()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal to the main process; SIGKILL kills its children too, as the end of PID 1 does.

        Raises:
            APIError: it does not run.
        """
        self._require_running()
        number = signal_number(signal)
        if number == SIGKILL:
            self._program.kill()
        else:
            os.kill(self._program.pid, number)

    def restart(self, timeout: float = 10) -> None:
        """Stop it when it runs, and start it again with the same ports and data."""
        self._program.stop(timeout)
        self._program.start()

    def remove(self, *, force: bool = False) -> None:
        """Remove a container that has ended.

        Raises:
            APIError: it runs, and `force` was not asked for.
        """
        if self._program.running and not force:
            raise APIError(f"{self.name} runs; remove it by force, or stop it first.")
        self._program.kill()
        # For what belongs to the program and is no part of its group.
        self._program.stop(STOP_TIMEOUT_S)

    def exec_run(self, cmd: str | Sequence[str]) -> ExecResult:
        """Run a command with the container's environment.

        Raises:
            APIError: it does not run.
        """
        self._require_running()
        if cmd == LIST_SOCKETS:
            return ExecResult(0, self._listening_sockets().encode())
        ended = subprocess.run(
            shlex.split(cmd) if isinstance(cmd, str) else cmd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=EXEC_TIMEOUT_S,
            check=False,
        )
        return ExecResult(ended.returncode, ended.stdout)

    def _require_running(self) -> None:
        if not self._program.running:
            raise APIError(f"{self.name} is not running.")

    def _hostname(self) -> str:
        """The address of the container in URLs; a name could not lead to a port other than AMQP's own."""
        port = self._definition.ports.get(AMQP_PORT)
        return f"{LOOPBACK}:{port}" if port else self._definition.short_id

    def _listening_sockets(self) -> str:
        """The ports inside whose counterparts on loopback are listened on, in the form of /proc/net/tcp."""
        inside = [int(name.partition("/")[0]) for name, port in self._definition.ports.items() if not is_free(port)]
        return "\n".join(f"{row}: 0100007F:{port:04X} 00000000:0000 0A" for row, port in enumerate(inside))


class Containers:
    """The containers of one guard."""

    def __init__(self, guard: Guard, images: Mapping[str, Callable[[Guard, Definition], Program]]) -> None:
        """Take the programs by the names of their images."""
        self._guard = guard
        self._images = images

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        detach: bool,
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        network: str,
        ports: Mapping[str, tuple[str, int]] | None = None,
    ) -> Container:
        """Start a program of the image.

        Raises:
            ImageNotFound: no program has this name.
            TypeError: an option is given that has no counterpart here.
        """
        if image not in self._images:
            raise ImageNotFound(f"{image} is none of {', '.join(self._images)}.")
        if not detach:
            raise TypeError("A container that is waited for (detach=False) is not emulated.")
        definition = Definition(
            id=token_hex(32),
            image=image,
            command=tuple(command or ()),
            environment=dict(environment),
            labels=dict(labels),
            network=network,
            ports={inside: pinned_port(inside, binding) for inside, binding in (ports or {}).items()},
        )
        program = self._images[image](self._guard, definition)
        program.start()
        return Container(program, definition, {**definition.whole_environment, **self._guard.environment})


@dataclass(frozen=True)
class Network:
    """A name; on loopback all are in one network."""

    name: str

    def remove(self) -> None:
        """Do nothing, because a network is only a name."""


class Networks:
    """The networks of one engine."""

    def create(self, name: str, *, labels: Mapping[str, str]) -> Network:  # noqa: ARG002 docker-py's own signature
        """Name a network."""
        return Network(name)


class ProcessEngine:
    """What the fixture `docker_client` gives in place of a `docker.DockerClient`."""

    def __init__(self, guard: Guard, images: Mapping[str, Callable[[Guard, Definition], Program]]) -> None:
        """Take the guard of all processes, and the programs by the names of their images."""
        self.containers = Containers(guard, images)
        self.networks = Networks()


def pinned_port(inside: str, binding: object) -> int:
    """The port of a binding on loopback, such as ("127.0.0.1", 25672).

    Raises:
        TypeError: the binding is not on loopback, or its port is left to chance and would change at a restart.
    """
    match binding:
        case (str(address), int(port)) if address == LOOPBACK:
            return port
    raise TypeError(f"{inside} must be published as ({LOOPBACK!r}, a port), not as {binding!r}.")


def signal_number(name: str | int | None) -> Signals:
    """The signal that docker-py means: a name with or without SIG, a number, or SIGKILL without either."""
    if name is None:
        return SIGKILL
    if isinstance(name, int):
        return Signals(name)
    return Signals["SIG" + name.removeprefix("SIG")]


def exit_code(returncode: int | None) -> int:
    """The exit code as Docker and shells give it: 128 plus the signal's number for a killed process."""
    code = returncode or 0
    return code if code >= 0 else 128 - code
