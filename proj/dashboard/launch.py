"""Launch: checks what the user typed, sets safe defaults, and calls Flower's own command."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flower import command
from tornado.options import options

from proj.dashboard.banner import name_the_page
from proj.dashboard.ending import end_without_threads
from proj.dashboard.install import install_or_warn
from proj.dashboard.web.arguments import check_configuration, check_environment, checked_arguments
from proj.dashboard.web.options import defined_options, refuse_unauthenticated_api
from proj.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

#: In place of Flower's own defaults, which are every address, all buttons, and half a gigabyte of tasks.
SAFE = {"address": "127.0.0.1", "read_only": True, "max_tasks": 20_000}


def launch(context: click.Context, arguments: Sequence[str]) -> None:
    """Run Flower with the Dispatch page until it ends; an unknown Flower runs without the page, with a warning.

    Raises:
        click.UsageError: an argument is unknown or invalid.
        ProjError: an option cannot be used, or the port is in use.
    """
    refuse_unauthenticated_api(os.environ)
    check_environment(os.environ, defined_options())
    arguments = checked_arguments(arguments, defined_options(), _celerys(context))
    _check_configuration_file(arguments)
    is_installed = install_or_warn()
    if is_installed:
        name_the_page()
        command.apply_options = _in_one_sentence(command.apply_options)
    for name, value in SAFE.items():
        setattr(options, name, value)
    # Flower itself ends with 0 only where its loop runs already: not right after it has printed its address.
    with suppress(KeyboardInterrupt):
        command.flower.callback(tornado_argv=arguments)
    # Stock Flower saves what it knows only when Python ends.
    if is_installed:
        end_without_threads()


def _in_one_sentence(read: Callable[P, None]) -> Callable[P, None]:
    """The function that reads arguments and configuration file; an error in the file becomes one sentence."""

    @wraps(read)
    def apply(*words: P.args, **more: P.kwargs) -> None:
        try:
            read(*words, **more)
        except click.ClickException:
            raise
        except Exception as error:
            raise InvalidConfiguration(
                f"{options.conf} cannot be used as a configuration file: {type(error).__name__}: {error}."
            ) from error

    return apply


def _celerys(context: click.Context) -> dict[str, bool]:
    """The options of the `celery` command itself, and whether each takes a value."""
    if context.parent is None:
        return {}
    return {
        spelled: not getattr(parameter, "is_flag", False)
        for parameter in context.parent.command.params
        for spelled in parameter.opts
    }


def _check_configuration_file(arguments: Sequence[str]) -> None:
    """Refuse a configuration file that cannot be read, or that sets a name that is nearly an option's.

    Raises:
        InvalidConfiguration: it cannot be read, or is not Python.
        UnknownSetting: a name in it is nearly an option's.
    """
    named = [word.partition("=")[2] for word in arguments if word.startswith("--conf=")]
    path = Path(named[-1] if named else os.environ.get("FLOWER_CONF", options.conf))
    try:
        check_configuration(path.read_text(encoding="utf-8"), str(path), defined_options())
    except FileNotFoundError:
        if path != Path(options.conf):
            raise InvalidConfiguration(f"There is no configuration file {path}.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidConfiguration(f"{path} cannot be used as a configuration file: {error}.") from error
