"""Another package `proj` in the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import proj
from proj.errors import InvalidConfiguration
from proj.namesake import refuse_namesake


@pytest.mark.parametrize("name", ["proj/__init__.py", "proj/celery.py", "proj.py"])
def test_another_module_of_our_name_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    """A package, a package without __init__, or a module."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()

    with pytest.raises(InvalidConfiguration, match=name):
        refuse_namesake(tmp_path)


def test_our_own_package_and_an_empty_folder_are_not_refused(tmp_path: Path) -> None:
    """In a checkout, through a link to it, where nothing is, and in a folder of that name without a module."""
    checkout = Path(proj.__file__).parents[1]
    (tmp_path / "link").symlink_to(checkout)

    for folder in (checkout, tmp_path / "link", tmp_path):
        refuse_namesake(folder)
    (tmp_path / "proj").mkdir()
    refuse_namesake(tmp_path)
