"""What a container was asked to be, and what a program must offer to be one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The checkout under test, where the worker finds `proj` and `celeryconfig` as in an image of its own.
PROJECT = Path(__file__).parents[2]
#: Characters of a container's id by which it is known, as in Docker.
SHORT_ID_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a container was asked to be."""

    id: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    network: str
    #: From a port inside, such as "5672/tcp", to its port on loopback.
    ports: Mapping[str, int]

    @property
    def short_id(self) -> str:
        """The id as people write it."""
        return self.id[:SHORT_ID_LENGTH]

    @property
    def whole_environment(self) -> dict[str, str]:
        """The image's environment with the container's: nothing that a user has set for workers of their own."""
        return child_environment(**{"PYTHONPATH": str(PROJECT), **self.environment})


class Program(Protocol):
    """What an image starts; `proj.lab.processes.process.Process` is one."""

    @property
    def pid(self) -> int:
        """The id of the main process, also of its group."""

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""

    @property
    def returncode(self) -> int | None:
        """How it ended, as `subprocess` says it."""

    def start(self) -> None:
        """Start it, on the data and with the log of its earlier life."""

    def stop(self, timeout_s: float) -> None:
        """End it by SIGTERM, and by SIGKILL when that takes too long."""

    def kill(self) -> None:
        """End it and its children by SIGKILL."""

    def log_text(self) -> str:
        """All that it has printed in all its lives."""
