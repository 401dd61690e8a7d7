"""Namesake: another package `proj` in the current folder, whose app the user means by `-A proj`."""

from __future__ import annotations

from pathlib import Path

from proj.errors import InvalidConfiguration

#: Our own package.
OURS = Path(__file__).parent
#: What makes a folder or a file one that `import proj` would find there.
_IMPORTABLE = ("proj/__init__.py", "proj/celery.py", "proj.py")


def refuse_namesake(folder: Path) -> None:
    """Do nothing, unless `folder` has a module `proj` that is not ours.

    The program `celery` loads our commands, and so our package, before it puts the current folder on the path. Then
    `-A proj` is our app, which would consume our queue, although the user's own app has that name, as the project in
    Celery's documentation has.

    Raises:
        InvalidConfiguration: it has one.
    """
    for name in _IMPORTABLE:
        found = folder / name
        if found.exists() and not OURS.samefile(found.parent):
            raise InvalidConfiguration(
                f"There is another package named proj, with {found}; -A proj would be the app of celery-lossless. "
                "Rename that package, or start in another folder."
            )
