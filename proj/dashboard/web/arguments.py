"""Arguments: refuses unknown and invalid options in arguments, environment and flowerconfig.py.

Flower ignores unknown options: with `--basic-auht=user:password` it starts without authentication.
"""

from __future__ import annotations

import ast
import copy
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click
import flower.options  # noqa: F401 it defines the options of Flower

from proj.dashboard.web.options import OWN, PREFIX, defined_options
from proj.errors import InvalidConfiguration, InvalidSetting, UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.dashboard.web.options import Option

#: Environment variables that Flower reads besides its options.
FLOWERS_OWN = frozenset(
    {
        "FLOWER_GITHUB_OAUTH_DOMAIN",
        "FLOWER_GITLAB_AUTH_ALLOWED_GROUPS",
        "FLOWER_GITLAB_MIN_ACCESS_LEVEL",
        "FLOWER_GITLAB_OAUTH_DOMAIN",
        "FLOWER_OAUTH2_OKTA_BASE_URL",
        "FLOWER_UNAUTHENTICATED_API",
    }
)
#: Variables that Kubernetes sets in every container for a service whose name begins with "flower".
_KUBERNETES = re.compile(r"FLOWER_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_FALSE = frozenset({"false", "f", "0"})
_TRUE = frozenset({"true", "t", "1"})
#: Spellings of true and false that people use and Tornado does not know.
_TRUTHS = {**dict.fromkeys(("no", "n", "off"), "false"), **dict.fromkeys(("yes", "y", "on"), "true")}
_LEVELS = frozenset({"debug", "info", "warning", "error", "none"})


def checked_arguments(
    arguments: Sequence[str], options: Mapping[str, Option], celerys: Mapping[str, bool]
) -> tuple[str, ...]:
    """The arguments as Tornado takes them, `--name=value`; `options` are its options by name, with dashes.

    `celerys` are the options of the `celery` command, each with whether it takes a value. Flower warns about those
    itself, and starts without them.

    Raises:
        click.NoSuchOption: an option is unknown.
        click.BadOptionUsage: an option has no value, or an invalid one.
        click.UsageError: an argument does not belong to an option.
    """
    taken: list[str] = []
    words = iter(arguments)
    for word in words:
        spelled, equals, value = word.partition("=")
        option = options.get(spelled[2:].replace("_", "-")) if spelled.startswith("--") else None
        if option is not None:
            if not equals and option.type is not bool:
                following = next(words, None)
                if following is None or following.startswith("-"):
                    raise click.BadOptionUsage(spelled, f"Option {spelled} requires a value: {spelled}=VALUE")
                value, equals = following, "="
            if equals and option.type is bool:
                value = _TRUTHS.get(value.lower(), value)
            taken.append(f"{spelled}{equals}{value}")
            try:
                parsed(option, value if equals else "true")
            except InvalidSetting as error:
                raise click.BadOptionUsage(spelled, error.message) from error
        elif spelled in celerys:
            taken.append(word)
            if celerys[spelled] and not equals:
                next(words, None)
        elif spelled.startswith("-") and spelled.strip("-"):
            raise click.NoSuchOption(spelled, possibilities=_nearest_option(spelled, options))
        else:
            raise click.UsageError(f"Got unexpected argument {word!r}; options are given as --name=value.")
    return tuple(taken)


def check_environment(environment: Mapping[str, str], options: Mapping[str, Option]) -> None:
    """Refuse a variable with Flower's prefix that is unknown or has an invalid value.

    Raises:
        UnknownSetting: Flower has no such option.
        InvalidSetting: the value is invalid.
        InvalidConfiguration: the value is one that Kubernetes sets.
    """
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in FLOWERS_OWN:
            continue
        option = options.get(name.removeprefix(PREFIX).lower().replace("_", "-"))
        if option is None:
            if _KUBERNETES.fullmatch(name) or _ADDRESS.match(text):
                continue
            known = [*(PREFIX + one.upper().replace("-", "_") for one in options), *FLOWERS_OWN]
            raise UnknownSetting(name, _nearest(name, known))
        # In the environment, Flower itself knows all spellings of true and false.
        value = _TRUTHS.get(text.lower(), text) if option.type is bool else text
        try:
            parsed(option, value, name=name)
        except InvalidSetting as error:
            if _ADDRESS.match(value):
                raise InvalidConfiguration(
                    f"{name} is {value!r}, which Kubernetes sets for a service of that name: rename the service, or "
                    "set enableServiceLinks: false."
                ) from error
            raise


def check_configuration(source: str, path: str, options: Iterable[str]) -> None:
    """Refuse a name in flowerconfig.py that is nearly an option's, because Flower would ignore it.

    Raises:
        UnknownSetting: there is one.
    """
    known = [option.replace("-", "_") for option in options]
    for statement in ast.parse(source, path).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id not in known and not target.id.startswith("_"):
                near = get_close_matches(target.id, known, n=1, cutoff=0.8)
                if near:
                    raise UnknownSetting(f"{target.id} in {path}", near[0])


def parsed(option: Option, value: str, *, name: str | None = None) -> object:
    """The value that Tornado makes of a text; the option itself is not changed.

    Raises:
        InvalidSetting: the text is not a value of this option.
    """
    name = name or f"--{option.name}"
    if option.type is bool and value.lower() not in _TRUE | _FALSE:
        # Tornado takes every other text for true, also "flase".
        raise InvalidSetting(name, value, "true or false")
    if option.name == "logging" and value.lower() not in _LEVELS:
        raise InvalidSetting(name, value, f"one of {', '.join(sorted(_LEVELS))}")
    try:
        # On a copy, because an option keeps what it parsed and acts on it: --help ends the process.
        trial = copy.copy(option)
        trial.callback = None
        return trial.parse(value)
    except Exception as error:
        kinds = {int: "a whole number", float: "a number"}
        kind = kinds.get(option.type, "set in flowerconfig.py, not as a text")
        raise InvalidSetting(name, value, "numbers, separated by commas" if option.multiple else kind) from error


def described() -> list[tuple[str, list[tuple[str, str]]]]:
    """Our options and Flower's, under a title each, with their help."""
    ours: list[tuple[str, str]] = []
    flowers: list[tuple[str, str]] = []
    for name, option in sorted(defined_options().items()):
        if "log" in name or name == "help":
            continue
        row = (f"--{name.replace('-', '_')}={option.metavar or option.type.__name__.upper()}", option.help or "")
        (ours if option.name in OWN else flowers).append(row)
    return [("Options of the Dispatch page", ours), ("Options of Flower", flowers)]


def _nearest_option(spelled: str, options: Iterable[str]) -> list[str]:
    """The most similar option, with dashes if the given one has dashes, and otherwise as in Flower's manual."""
    dashed = spelled.lstrip("-").replace("_", "-")
    near = _nearest(dashed, options)
    if near is None:
        return []
    return [f"--{near}" if "-" in spelled.lstrip("-") else f"--{near.replace('-', '_')}"]


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, list(known), n=1)), None)
