"""Which RabbitMQ the lab starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from proj.broker.version import BrokerVersion
from proj.errors import MissingProgram
from proj.lab import rabbitmq
from proj.lab.rabbitmq import installation

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("rabbitmq-server", "rabbitmqctl", "epmd")


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a version 9.9, as `scripts/brokers` leaves it."""
    folder = tmp_path / "9.9"
    (folder / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        (folder / "bin" / name).touch(mode=0o755)
    (folder / "complete").write_text("9.9.1\n")
    monkeypatch.setenv(rabbitmq.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(rabbitmq.VARIABLE, raising=False)
    return folder


def test_installation_of_a_version_is_the_one_that_was_unpacked(unpacked: Path) -> None:
    """All three programs are of one RabbitMQ, and not one of them is the machine's."""
    found = installation("9.9")

    assert (found.server, found.ctl, found.epmd) == tuple(str(unpacked / "bin" / name) for name in PROGRAMS)
    assert found.version == BrokerVersion(9, 9)


@pytest.mark.parametrize(
    ("folder", "version"),
    [("lib/rabbitmq/lib/rabbitmq_server-9.9.1/sbin", BrokerVersion(9, 9)), ("sbin", BrokerVersion(0, 0))],
)
def test_version_of_an_installed_rabbitmq_is_in_the_path_to_which_its_script_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, version: BrokerVersion
) -> None:
    """It must be known before the node runs; where the path does not have it, nothing newer is assumed."""
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        (tmp_path / folder / name).touch(mode=0o755)
        (tmp_path / "bin" / name).symlink_to(tmp_path / folder / name)
    monkeypatch.delenv(rabbitmq.VARIABLE, raising=False)
    monkeypatch.setattr(rabbitmq, "FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert installation().version == version


@pytest.mark.parametrize("chosen", ["9.9", "folder"])
def test_installation_is_chosen_by_the_environment_as_version_or_folder(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    """`PROJ_RABBITMQ` holds for every command that starts a broker."""
    monkeypatch.setenv(rabbitmq.VARIABLE, str(unpacked) if chosen == "folder" else chosen)

    assert installation().server == str(unpacked / "bin" / "rabbitmq-server")


@pytest.mark.usefixtures("unpacked")
@pytest.mark.parametrize(
    ("chosen", "remedy"),
    [("8.8", "run scripts/brokers 8.8 in a checkout"), ("./nowhere", "name a folder that scripts/brokers made")],
)
def test_installation_that_is_not_unpacked_is_refused_with_the_remedy(chosen: str, remedy: str) -> None:
    """One sentence: which program is missing, and what to do."""
    with pytest.raises(MissingProgram, match=re.escape(remedy)):
        installation(chosen)


@pytest.mark.parametrize("file", ["bin/epmd", "complete"])
def test_installation_is_refused_when_unpacking_was_cut_off(unpacked: Path, file: str) -> None:
    """Half a RabbitMQ is none."""
    (unpacked / file).unlink()

    with pytest.raises(MissingProgram, match=rf"there is no .*/9\.9/{file}"):
        installation("9.9")
