"""The definition of a container, and what a program must offer to run in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The checkout under test, where the worker finds `proj` as in an image of its own.
PROJECT = Path(__file__).parents[2]
#: Characters of a container's id by which it is known, as in Docker.
SHORT_ID_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The definition of a container."""

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
        """The first characters of the id."""
        return self.id[:SHORT_ID_LENGTH]

    @property
    def whole_environment(self) -> dict[str, str]:
        """The image's environment and the container's, without the user's own settings for workers."""
        return child_environment(**{"PYTHONPATH": str(PROJECT), **self.environment})


class Program(Protocol):
    """What an image starts; `proj.lab.processes.process.Process` is one."""

    @property
    def pid(self) -> int:
        """The id of the main process and of its group."""

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, as `subprocess` gives it."""

    def start(self) -> None:
        """Start it, with its earlier data and log."""

    def stop(self, timeout_s: float) -> None:
        """End it by SIGTERM, and by SIGKILL after a timeout."""

    def kill(self) -> None:
        """End it and its children by SIGKILL."""

    def log_text(self) -> str:
        """All its output, also from before a restart."""
