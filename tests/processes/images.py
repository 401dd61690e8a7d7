"""The images of the workers' tests: our worker and a RabbitMQ, each as a program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proj.lab.broker import Broker
from proj.lab.definitions import USER
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard
    from tests.processes.program import Definition

#: Ports inside the container, as the RabbitMQ image exposes them.
AMQP_PORT = "5672/tcp"
MANAGEMENT_PORT = "15672/tcp"


class WorkerProgram(Process):
    """The worker's image: the `celery` command of the interpreter that runs the tests."""

    def __init__(self, guard: Guard, definition: Definition) -> None:
        """Take the container's command; `%h` in it is the container, as it would be its host name.

        Raises:
            TypeError: the command is not `celery`, or a port is to be published.
        """
        program, *arguments = definition.command or [""]
        if program != "celery" or definition.ports:
            raise TypeError(f"The worker's image runs `celery …` and has no ports, but was given {definition}.")
        super().__init__(
            f"worker {definition.short_id}",
            [sys.executable, "-m", "celery", *(part.replace("%h", definition.short_id) for part in arguments)],
            guard=guard,
            environment=definition.whole_environment,
            log=guard.folder / f"{definition.short_id}.log",
        )


class BrokerProgram(Broker):
    """The RabbitMQ image: a private node on the published ports, with the password of the image's own variable."""

    def __init__(self, guard: Guard, definition: Definition) -> None:
        """Take ports and password.

        Raises:
            TypeError: other ports, variables or commands are given than those that are heeded here.
        """
        password = definition.environment.get("RABBITMQ_DEFAULT_PASS")
        heeded = {"RABBITMQ_DEFAULT_USER": USER, "RABBITMQ_DEFAULT_PASS": password}
        if definition.environment != heeded or set(definition.ports) != {AMQP_PORT, MANAGEMENT_PORT}:
            raise TypeError(
                f"The broker's image wants the ports {AMQP_PORT} and {MANAGEMENT_PORT}, RABBITMQ_DEFAULT_USER={USER} "
                f"and RABBITMQ_DEFAULT_PASS, but was given {definition}."
            )
        if definition.command:
            raise TypeError(f"The broker's image has a command of its own, but was given {definition}.")
        folder = guard.folder / definition.short_id
        folder.mkdir()
        # A node takes up the password that is in its folder.
        (folder / "password").write_text(str(password))
        super().__init__(
            guard,
            folder=folder,
            port=definition.ports[AMQP_PORT],
            management_port=definition.ports[MANAGEMENT_PORT],
        )
