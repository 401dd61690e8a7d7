"""Install: makes Flower's command start our application in place of its own."""

from __future__ import annotations

import importlib
import os
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from proj.errors import ProjError

if TYPE_CHECKING:
    from types import ModuleType

#: Names that are needed, by Flower's module. tests/unit/dashboard/test_flower_contract.py has the whole list, with
#: reasons.
REQUIRED_NAMES = {
    "flower.command": ("Flower", "flower", "apply_options", "apply_env_options", "settings", "options"),
    "flower.app": ("Flower", "rewrite_handler"),
    "flower.events": ("EventReceiver", "Events", "Events.on_event"),
    "flower.views": ("BaseHandler",),
    "flower.views.monitor": ("Metrics",),
    "flower.views.tasks": ("TaskView",),
    "flower.urls": ("settings", "handlers"),
}


def install() -> None:
    """Make Flower's command start Flower with the Dispatch page; safe to call more than once.

    Raises:
        UnknownFlower: this Flower lacks a name that the page needs; nothing was changed.
        InvalidSetting: one of our options has an invalid value in the environment.
    """
    modules = _flower_modules()
    # Only now, because these modules need a Flower that has the names.
    from proj.dashboard.web import application, arguments, event_receiver, options  # noqa: PLC0415 see above

    # Flower reads its environment before it runs flowerconfig.py, and so before our options are defined.
    defined = options.defined_options()
    for name in options.OWN:
        variable = options.PREFIX + name.upper()
        value = os.environ.get(variable)
        if value is not None:
            option = defined[name.replace("_", "-")]
            setattr(modules["flower.command"].options, name, arguments.parsed(option, value, name=variable))
    for module, name, ours in (
        ("flower.command", "Flower", application.Dashboard),
        ("flower.events", "EventReceiver", event_receiver.EventReceiver),
    ):
        setattr(modules[module], name, ours)


def install_or_warn() -> bool:
    """Install; where this Flower is unknown, warn on stderr instead. Returns whether the page is installed."""
    try:
        install()
    except UnknownFlower as error:
        click.echo(f"Warning: {error.format_message()}", err=True)
        return False
    return True


class UnknownFlower(ProjError):
    """This Flower lacks a name that the Dispatch page needs."""


def _flower_modules() -> dict[str, ModuleType]:
    """The modules of `REQUIRED_NAMES`, which have all those names.

    Raises:
        UnknownFlower: a module or a name is missing.
    """
    try:
        modules = {module: importlib.import_module(module) for module in REQUIRED_NAMES}
        for module, names in REQUIRED_NAMES.items():
            for name in names:
                attrgetter(name)(modules[module])
    except (ImportError, AttributeError) as error:
        raise UnknownFlower(
            f"This Flower has no Dispatch page, because it lacks a name that the page needs ({error}); "
            "get a supported one with: pip install 'flower>=2.1,<2.3'"
        ) from error
    return modules
