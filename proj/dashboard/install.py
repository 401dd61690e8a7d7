"""The seam: Flower's command starts our application in the place of its own."""

from __future__ import annotations

import importlib
import os
from operator import attrgetter
from typing import Any

import click

from proj.errors import ProjError

#: What is leaned on, by module; tests/unit/dashboard/test_flower_contract.py has the whole list, and says what for.
NAMES = {
    "flower.command": ("Flower", "flower", "apply_options", "apply_env_options", "settings", "options"),
    "flower.app": ("Flower", "rewrite_handler"),
    "flower.events": ("EventReceiver", "Events", "Events.on_event"),
    "flower.views": ("BaseHandler",),
    "flower.urls": ("settings", "handlers"),
}


def install() -> None:
    """Have Flower's command start Flower with the Dispatch page; once or more often.

    Raises:
        ProjError: this Flower is not one that we know; nothing was changed.
        InvalidSetting: an option of ours has a value in the environment that it cannot have.
    """
    seam = _seam()
    # Not above: they need a Flower that is as we know it.
    from proj.dashboard.web.application import Dashboard  # noqa: PLC0415
    from proj.dashboard.web.arguments import parsed  # noqa: PLC0415
    from proj.dashboard.web.options import OWN, PREFIX  # noqa: PLC0415
    from proj.journal.recording.receiver import Receiver  # noqa: PLC0415

    # Flower took its environment before it ran the flowerconfig.py that calls this; then it did not know our options.
    options = seam["flower.command"].options
    for name in OWN:
        value = os.environ.get(PREFIX + name.upper())
        if value is not None:
            option = options._options[name.replace("_", "-")]  # noqa: SLF001 as Flower does itself
            setattr(options, name, parsed(option, value, name=PREFIX + name.upper()))
    seam["flower.command"].Flower = Dashboard
    seam["flower.events"].EventReceiver = Receiver


def install_or_warn() -> bool:
    """Do so, or say on stderr why Flower has no Dispatch page; whether it has."""
    try:
        install()
    except UnknownFlower as error:
        click.echo(f"Warning: {error.message}", err=True)
        return False
    return True


class UnknownFlower(ProjError):
    """This Flower is not one that we know."""


def _seam() -> dict[str, Any]:
    """The modules of `NAMES`, with all that is named there.

    Raises:
        UnknownFlower: something is not there.
    """
    try:
        modules = {module: importlib.import_module(module) for module in NAMES}
        for module, names in NAMES.items():
            for name in names:
                attrgetter(name)(modules[module])
    except (ImportError, AttributeError) as error:
        raise _unknown(str(error)) from error
    return modules


def _unknown(reason: str) -> UnknownFlower:
    return UnknownFlower(
        f"This Flower has no Dispatch page, because it is not one that we know ({reason}); "
        "get one with: pip install 'proj[dashboard]'"
    )
