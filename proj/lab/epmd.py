"""A private epmd: the program by which the Erlang nodes of one broker find each other, on loopback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proj.lab.processes.ports import LOOPBACK, free_port, is_free
from proj.lab.processes.process import Process
from proj.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.processes.guard import Guard
    from proj.lab.rabbitmq import Installation

#: Seconds until it must listen; some milliseconds were measured.
START_TIMEOUT_S = 90.0


class Epmd(Service):
    """One epmd on a port of its own, so that a node neither uses the machine's nor starts one that outlives it."""

    def __init__(self, installation: Installation, folder: Path, *, guard: Guard) -> None:
        """Choose a port; the folder gets its log."""
        self._port = free_port()
        self.environment = {"ERL_EPMD_PORT": str(self._port), "ERL_EPMD_ADDRESS": LOOPBACK}
        log = folder / "epmd.log"
        log.touch(mode=0o600)
        self._process = Process(
            "epmd",
            [installation.epmd, "-port", str(self._port), "-address", LOOPBACK],
            guard=guard,
            environment={"PATH": os.environ.get("PATH", os.defpath), **self.environment},
            log=log,
        )

    def start(self) -> None:
        """Start it, and return when it listens."""
        self._process.start()
        self._process.wait_until_ready(lambda: not is_free(self._port), timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        """End it; safe to call twice and before `start`."""
        self._process.stop()
