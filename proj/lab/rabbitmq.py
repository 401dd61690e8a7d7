"""Which RabbitMQ the lab starts: the machine's own, or one that `scripts/brokers` unpacked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proj.errors import MissingProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The variable that chooses another RabbitMQ than the machine's: a version such as 4.3, or the path of a folder.
VARIABLE = "PROJ_RABBITMQ"
#: The variable that says where `scripts/brokers` unpacks.
CACHE_VARIABLE = "PROJ_BROKERS"

#: Where the server's own scripts lie. The script that Debian puts on the PATH becomes the user `rabbitmq`, and refuses
#: to run for anyone but that user and root. These run as the user who starts them.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin")
_HOW_TO_INSTALL = (
    "No rabbitmq-server is installed. On Debian or Ubuntu: sudo apt-get install rabbitmq-server; "
    "on macOS: brew install rabbitmq; with Docker instead: docker compose up rabbitmq."
)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The programs of one RabbitMQ, by their paths."""

    server: str
    ctl: str
    epmd: str


def installation(version: str | None = None) -> Installation:
    """The RabbitMQ of this version; without one that of `PROJ_RABBITMQ`, and without that the machine's own.

    Raises:
        MissingProgram: it is not there.
    """
    chosen = version or os.environ.get(VARIABLE)
    if not chosen:
        return Installation(
            server=_installed("rabbitmq-server", FOLDERS),
            ctl=_installed("rabbitmqctl", FOLDERS),
            epmd=_installed("epmd"),
        )
    folder = Path(chosen) if os.sep in chosen else _cache() / chosen
    programs = {name: folder / "bin" / name for name in ("rabbitmq-server", "rabbitmqctl", "epmd")}
    for program in programs.values():
        if not os.access(program, os.X_OK):
            remedy = "name a folder that scripts/brokers made" if os.sep in chosen else f"run scripts/brokers {chosen}"
            raise MissingProgram(f"RabbitMQ {chosen} is not unpacked: there is no {program}; {remedy}.")
    return Installation(
        server=str(programs["rabbitmq-server"]), ctl=str(programs["rabbitmqctl"]), epmd=str(programs["epmd"])
    )


def _installed(name: str, folders: Sequence[str] = ()) -> str:
    """The path of an installed program: in the first of `folders` that has it, else on the PATH."""
    places = (f"{folder}/{name}" for folder in folders)
    found = next((place for place in places if os.access(place, os.X_OK)), None) or shutil.which(name)
    if found is None:
        raise MissingProgram(
            _HOW_TO_INSTALL if name == "rabbitmq-server" else f"{_HOW_TO_INSTALL} ({name} is missing.)"
        )
    return found


def _cache() -> Path:
    """Where `scripts/brokers` unpacks, by the same rule."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proj-brokers"
