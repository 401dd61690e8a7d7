"""Settings as they stand in the environment: read, checked, and refused in one sentence."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Collection


#: Characters of a value that a refusal repeats.
LONGEST_SHOWN = 80
#: What a broker that speaks AMQP is found by.
BROKER_SCHEMES = ("amqp", "amqps", "pyamqp")
A_BROKER_URL = "the URL of a RabbitMQ broker, such as amqp://user:password@localhost:5672//"


def choice(name: str, allowed: Collection[str], default: str) -> str:
    """The variable's value, one of `allowed`.

    Raises:
        InvalidSetting: it has another value.
    """
    value = os.environ.get(name) or default
    if value not in allowed:
        raise InvalidSetting(name, _shown(value), "one of " + ", ".join(allowed))
    return value


def seconds(name: str, default: float) -> float:
    """The variable's value as a number of seconds, zero or more.

    Raises:
        InvalidSetting: it is not a number, negative, infinite or not-a-number.
    """
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidSetting(name, _shown(text), "a number of seconds, 0 or more, such as 0.5")
    return value


def patterns(name: str, longest: int) -> tuple[str, ...]:
    """The variable's value as patterns of a topic exchange, joined by commas; none when it is not set.

    Raises:
        InvalidSetting: one is empty, has an empty word, a blank, or a wildcard that is a part of a word, or all have
            more than `longest` bytes.
    """
    text = os.environ.get(name) or ""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
    for pattern in found:
        words = pattern.split(".")
        # A wildcard within a word is none to the broker, so it would match nothing that was meant.
        strange = any(len(word) > 1 and set("*#") & set(word) for word in words) or len(pattern.split()) != 1
        if strange or not all(words) or not _fits(",".join(found), longest):
            raise InvalidSetting(
                name,
                _shown(text),
                "patterns such as *.heavy,image.#, each of words joined by dots, none of them empty, where * is any "
                f"one word and # any number of them, and all of {longest} bytes at most",
            )
    return found


def _fits(text: str, longest: int) -> bool:
    """Whether it has so many bytes at most, and is text at all."""
    try:
        return len(text.encode()) <= longest
    except UnicodeEncodeError:
        return False


def url(name: str, schemes: Collection[str], default: str, allowed: str) -> str:
    """The variable's value as a URL, or several joined by `;`, each with one of `schemes`.

    Raises:
        InvalidSetting: a scheme is not among them or a port is not a number; a password in the
            value is not repeated.
    """
    return checked_url(name, os.environ.get(name) or default, schemes, allowed)


def checked_url(name: str, value: str, schemes: Collection[str], allowed: str) -> str:
    """The value of the setting of that name, when it is a URL or several as above.

    Raises:
        InvalidSetting: as above.
    """
    for part in value.split(";"):
        scheme, _, rest = part.partition("://")
        try:
            known = scheme in schemes and urlsplit(f"//{rest}").port != 0
        except ValueError:
            known = False
        if not known:
            raise InvalidSetting(name, _shown(_without_password(value)), allowed)
    return value


def broker_url() -> str:
    """Where the broker is: CELERY_BROKER_URL, or RabbitMQ's usual place on this machine.

    Raises:
        InvalidSetting: it is not the URL of a broker that speaks AMQP.
    """
    return url(
        "CELERY_BROKER_URL",
        BROKER_SCHEMES,
        default="amqp://guest:guest@localhost:5672//",
        allowed=A_BROKER_URL,
    )


def _shown(value: str) -> str:
    """The value as a refusal repeats it: its beginning, where it is long."""
    return value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}… ({len(value)} characters)"


def _without_password(value: str) -> str:
    """The URL with everything between the user's name and the host hidden."""
    head, at, tail = value.rpartition("@")
    user = head.rpartition(":")[0] if at else ""
    return f"{user}:**@{tail}" if at else value
