"""Which RabbitMQ the lab starts: the machine's own, or one that `scripts/brokers` unpacked."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proj.broker.version import BrokerVersion
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
#: The file that `scripts/brokers` writes at its end: the version of what it unpacked.
_COMPLETE = "complete"
_HOW_TO_INSTALL = (
    "No rabbitmq-server is installed. On Debian or Ubuntu: sudo apt-get install rabbitmq-server; "
    "on macOS: brew install rabbitmq; with Docker instead: docker compose up rabbitmq."
)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The programs of one RabbitMQ by their paths, and its version, 0.0 when the paths do not have it."""

    server: str
    ctl: str
    epmd: str
    version: BrokerVersion
    #: The folder with its scripts and plug-ins.
    home: Path


def installation(version: str | None = None) -> Installation:
    """The RabbitMQ of this version; without one that of `PROJ_RABBITMQ`, and without that the machine's own.

    Raises:
        MissingProgram: it is not there.
    """
    chosen = version or os.environ.get(VARIABLE)
    if not chosen:
        server = _installed("rabbitmq-server", FOLDERS)
        return Installation(
            server=server,
            ctl=_installed("rabbitmqctl", FOLDERS),
            epmd=_installed("epmd"),
            version=_version_in(server),
            home=Path(server).resolve().parents[1],
        )
    folder = Path(chosen) if os.sep in chosen else _cache() / chosen
    programs = {name: folder / "bin" / name for name in ("rabbitmq-server", "rabbitmqctl", "epmd")}
    complete = folder / _COMPLETE
    missing = [path for path in programs.values() if not os.access(path, os.X_OK)]
    missing += [] if complete.is_file() else [complete]
    if missing:
        remedy = (
            "name a folder that scripts/brokers made"
            if os.sep in chosen
            else f"run scripts/brokers {chosen} in a checkout"
        )
        raise MissingProgram(f"RabbitMQ {chosen} is not unpacked: there is no {missing[0]}; {remedy}.")
    return Installation(
        server=str(programs["rabbitmq-server"]),
        ctl=str(programs["rabbitmqctl"]),
        epmd=str(programs["epmd"]),
        version=BrokerVersion.read(complete.read_text()),
        home=next(folder.glob("tree/usr/lib/rabbitmq/lib/rabbitmq_server-*"), folder),
    )


def _version_in(server: str) -> BrokerVersion:
    """The version that the path of the server's own script names, as in `rabbitmq_server-4.3.6`."""
    found = re.search(r"lib/rabbitmq/lib/rabbitmq_server-([^/]+)", str(Path(server).resolve()))
    return BrokerVersion.read(found[1] if found else None)


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
