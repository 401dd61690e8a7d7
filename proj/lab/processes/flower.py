"""Flower with the Dispatch page, as a process of the lab."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.request
from typing import TYPE_CHECKING

from proj.errors import MissingProgram
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

#: The port on which Flower listens by default.
PREFERRED_PORT = 5555
#: Seconds until Flower must answer; 2 s were measured.
START_TIMEOUT_S = 60.0


class FlowerProcess(Process):
    """`celery -A proj dashboard` on loopback, for one broker."""

    def __init__(self, guard: Guard, *, broker_url: str, management_url: str) -> None:
        """Choose a free port; nothing is started before `start`.

        Raises:
            MissingProgram: Flower is not installed.
        """
        if importlib.util.find_spec("flower") is None:
            raise MissingProgram("Flower is not installed; get it with: pip install 'flower>=2.1,<2.3'")
        self.port = free_port(PREFERRED_PORT)
        super().__init__(
            "Flower",
            [
                *(sys.executable, "-m", "celery", "-A", "proj", "dashboard"),
                *(f"--address={LOOPBACK}", f"--port={self.port}"),
            ],
            guard=guard,
            # In the environment, because `ps` would show a password on the command line.
            environment=child_environment(CELERY_BROKER_URL=broker_url, FLOWER_BROKER_API=management_url),
            log=guard.folder / "flower.log",
        )

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def page(self) -> str:
        """The address of the Dispatch page in its view of runs."""
        return f"{self.url}/dispatch?view=race"

    def stop(self, timeout_s: float = 0.0) -> None:  # noqa: ARG002 the base's signature
        """Kill it at once: it has nothing to save, and while it starts it may take long to obey SIGTERM."""
        self.kill()

    def answers(self) -> bool:
        """Whether it serves pages."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthcheck", timeout=2) as answer:  # noqa: S310 our own http URL
                return bool(answer.read())
        except OSError:
            return False

    def hears(self) -> bool:
        """Whether it has received an event; it serves pages a little before it listens to events."""
        try:
            with urllib.request.urlopen(f"{self.url}/dispatch/data", timeout=2) as answer:  # noqa: S310 our own http URL
                return bool(json.load(answer)["events"]["heard"])
        except OSError:
            return False
