"""How our command starts Flower: what was typed is checked, safe defaults are set, Flower's own command is called."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proj.errors import InvalidConfiguration, MissingProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: In the place of Flower's: every address, every button, and half a gigabyte of tasks.
SAFE = {"address": "127.0.0.1", "read_only": True, "max_tasks": 20_000}


def launch(context: click.Context, arguments: Sequence[str]) -> None:
    """Run Flower with the Dispatch page until it is ended; without the page and with a warning, if it is not known.

    Raises:
        MissingProgram: Flower is not installed.
        click.UsageError: an argument is none.
        ProjError: something that was set cannot be used, or the port is taken.
    """
    _need_flower()
    from flower import command  # noqa: PLC0415 it may not be installed
    from tornado.options import options  # noqa: PLC0415 it comes with Flower

    from proj.dashboard.install import install_or_warn  # noqa: PLC0415 as above
    from proj.dashboard.web.arguments import check_environment, checked_arguments  # noqa: PLC0415 it needs Tornado
    from proj.dashboard.web.options import refuse_unauthenticated_api  # noqa: PLC0415 as above

    refuse_unauthenticated_api(os.environ)
    check_environment(os.environ, options._options)  # noqa: SLF001 as Flower does itself
    arguments = checked_arguments(arguments, options._options, _celerys(context))  # noqa: SLF001 as above
    _check_configuration(arguments, options)
    if install_or_warn():
        command.apply_options = _in_a_sentence(command.apply_options)
    for name, value in SAFE.items():
        setattr(options, name, value)
    command.flower.callback(tornado_argv=arguments)


def _need_flower() -> None:
    if find_spec("flower") is None:
        raise MissingProgram("Flower is not installed; get it with: pip install 'proj[dashboard]'")


def _in_a_sentence(read: Callable[..., None]) -> Callable[..., None]:
    """The function that reads arguments and configuration file, with what the file raises as one sentence."""

    def apply(*arguments: Any) -> None:  # noqa: ANN401 Flower's own
        from tornado.options import options  # noqa: PLC0415 it comes with Flower

        try:
            read(*arguments)
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


def _check_configuration(arguments: Sequence[str], options: Any) -> None:  # noqa: ANN401 Tornado's options
    """Refuse a configuration file that cannot be read, or has a name that is nearly an option's.

    Raises:
        InvalidConfiguration: it cannot be read, or is not Python.
        UnknownSetting: a name in it is nearly an option's.
    """
    from proj.dashboard.web.arguments import check_configuration  # noqa: PLC0415 it needs Tornado

    named = [word.partition("=")[2] for word in arguments if word.startswith("--conf=")]
    path = Path(named[-1] if named else os.environ.get("FLOWER_CONF", options.conf))
    try:
        check_configuration(path.read_text(encoding="utf-8"), str(path), options._options)  # noqa: SLF001 as above
    except FileNotFoundError:
        if path != Path(options.conf):
            raise InvalidConfiguration(f"There is no configuration file {path}.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidConfiguration(f"{path} cannot be used as a configuration file: {error}.") from error
