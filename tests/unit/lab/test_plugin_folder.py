"""The folder from which a private node starts: what it needs and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.lab.plugin_folder import make_plugin_folder

if TYPE_CHECKING:
    from pathlib import Path

NEEDS = {
    "rabbit": "kernel, ra,\n  rabbitmq_prelaunch",
    "rabbitmq_management": "rabbit, cowboy",
    "rabbitmq_prelaunch": "",
    "ra": "kernel",
    "cowboy": "",
    "rabbitmq_mqtt": "rabbit",
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An installation with one plug-in that a private node does not need."""
    home = tmp_path / "installed"
    for part in ("sbin", "escript"):
        (home / part).mkdir(parents=True)
    for name, needs in NEEDS.items():
        ebin = home / "plugins" / f"{name}-1.0" / "ebin"
        ebin.mkdir(parents=True)
        (ebin / f"{name}.app").write_text(f"{{application, {name}, [{{applications, [{needs}]}}, {{env, []}}]}}.\n")
    return home


def test_folder_has_what_a_node_runs_and_all_that_this_needs(installed: Path, tmp_path: Path) -> None:
    """The scripts find their plug-ins beside themselves."""
    folder = tmp_path / "node"

    assert make_plugin_folder(installed, folder) == folder / "sbin"
    assert {one.name for one in (folder / "plugins").iterdir()} == {
        f"{name}-1.0" for name in NEEDS if name != "rabbitmq_mqtt"
    }
    assert {one.readlink() for one in folder.iterdir() if one.is_symlink()} == {
        installed / "sbin",
        installed / "escript",
    }


def test_folder_of_another_version_is_made_anew_and_one_of_the_same_is_kept(installed: Path, tmp_path: Path) -> None:
    """A node may run from it."""
    folder = tmp_path / "node"
    make_plugin_folder(installed, folder)
    before = (folder / "plugins").stat().st_ino
    make_plugin_folder(installed, folder)
    kept = (folder / "plugins").stat().st_ino == before
    (installed / "plugins" / "ra-1.0").rename(installed / "plugins" / "ra-2.0")
    make_plugin_folder(installed, folder)

    assert kept
    assert (folder / "plugins" / "ra-2.0").is_dir()
    assert not (folder / "plugins" / "ra-1.0").is_symlink()


@pytest.mark.parametrize("without", ["plugins/rabbit-1.0", "plugins/rabbitmq_management-1.0", "escript"])
def test_installation_of_another_layout_serves_as_it_is(installed: Path, tmp_path: Path, without: str) -> None:
    """As where a part is missing."""
    (installed / without).rename(tmp_path / "elsewhere")

    assert make_plugin_folder(installed, tmp_path / "node") is None


def test_installation_with_archives_serves_as_it_is(installed: Path, tmp_path: Path) -> None:
    """An archive may hold a plug-in that is needed."""
    (installed / "plugins" / "cowboy-2.0.ez").touch()

    assert make_plugin_folder(installed, tmp_path / "node") is None
