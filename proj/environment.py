"""Reads settings from environment variables, and refuses a wrong value in one sentence."""

from __future__ import annotations

import math
import os
import random
import ssl
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proj.errors import InvalidSetting, UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Collection


PREFIX = "PROJ_"
#: The variables of our own app and of the lab.
VARIABLES = (
    "PROJ_BIND",
    "PROJ_BROKERS",
    "PROJ_BROKER_CA",
    "PROJ_BROKER_CERTIFICATE",
    "PROJ_BROKER_KEY",
    "PROJ_CONSUMER_TIMEOUT_SECONDS",
    "PROJ_DISPATCH",
    "PROJ_DOT_SECONDS",
    "PROJ_QUEUE_TYPE",
    "PROJ_RABBITMQ",
)
#: How alike a name must be to be taken for a misspelt one, 0 to 1: DISPACH, DOT_SECOND and QUEUETYPE are.
ALIKE = 0.8
#: Characters of a value that an error shows.
LONGEST_SHOWN = 80
#: How often a pattern of a topic exchange may contain `#`.
#: Source: https://github.com/rabbitmq/rabbitmq-server/pull/17039, RabbitMQ 4.3.5
MOST_HASHES = 2
#: Schemes of a URL under which Celery speaks AMQP.
BROKER_SCHEMES = ("amqp", "amqps", "pyamqp")
A_BROKER_URL = "the URL of a RabbitMQ broker, such as amqp://user:password@localhost:5672//"


def refuse_misspelt() -> None:
    """Refuse a variable whose name is nearly one of `VARIABLES`: it would have no effect.

    Only our own app and the lab do so. Other variables that begin with PROJ_ are left alone, because many projects
    have some of their own.

    Raises:
        UnknownSetting: there is one; the error names the variable that was meant.
    """
    meant = {name.removeprefix(PREFIX): name for name in VARIABLES}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name not in VARIABLES:
            near = get_close_matches(name.upper().removeprefix(PREFIX), meant, n=1, cutoff=ALIKE)
            if near:
                raise UnknownSetting(name, meant[near[0]], "a variable of proj")


def choice(name: str, allowed: Collection[str], default: str) -> str:
    """The variable's value, one of `allowed`.

    Raises:
        InvalidSetting: the value is not among them.
    """
    value = os.environ.get(name) or default
    if value not in allowed:
        raise InvalidSetting(name, _shown(value), "one of " + ", ".join(allowed))
    return value


def seconds(name: str, default: float, *, most: float) -> float:
    """The variable's value as a number of seconds, from zero to `most`.

    Raises:
        InvalidSetting: the value is not a number, is negative, NaN or more than `most`.
    """
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise InvalidSetting(name, _shown(text), f"a number of seconds from 0 to {most:.0f}, such as 0.5")
    return value


def patterns(name: str, longest: int) -> tuple[str, ...]:
    """The variable's value, patterns of a topic exchange with commas between them; empty when it is not set.

    Raises:
        InvalidSetting: a pattern is empty, has an empty word, a blank, a wildcard inside a word, or more `#` than
            RabbitMQ allows; or all of them together have more than `longest` bytes.
    """
    text = os.environ.get(name) or ""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
    return _checked_patterns(name, text, found, longest)


def checked_patterns(name: str, value: object, longest: int) -> tuple[str, ...]:
    """The value of the named setting, several patterns, checked as `patterns` checks a variable's value.

    Raises:
        InvalidSetting: as in `patterns`, or it is not a list or tuple of texts.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(pattern, str) for pattern in value):
        raise InvalidSetting(name, value, 'a tuple of patterns, such as ("*.heavy", "image.#")')
    return _checked_patterns(name, ",".join(value), tuple(value), longest)


def _checked_patterns(name: str, text: str, found: tuple[str, ...], longest: int) -> tuple[str, ...]:
    for pattern in found:
        words = pattern.split(".")
        # RabbitMQ takes a wildcard inside a word literally, so it would not match what the user means.
        strange = any(len(word) > 1 and set("*#") & set(word) for word in words) or len(pattern.split()) != 1
        if strange or not all(words) or words.count("#") > MOST_HASHES or not _fits(",".join(found), longest):
            raise InvalidSetting(
                name,
                _shown(text),
                "patterns such as *.heavy,image.#: words joined by dots, no word empty, where * stands for one word "
                f"and # for any number of words, at most {MOST_HASHES} # in each, at most {longest} bytes in all",
            )
    return found


def _fits(text: str, longest: int) -> bool:
    """Whether the text can be encoded, and has at most `longest` bytes."""
    try:
        return len(text.encode()) <= longest
    except UnicodeEncodeError:
        return False


def url(name: str, schemes: Collection[str], default: str, allowed: str) -> str:
    """The variable's value, a URL or several with `;` between them, each with one of `schemes`.

    Raises:
        InvalidSetting: a scheme is not among them, or a port is not a number. The error does not show a password.
    """
    return checked_url(name, os.environ.get(name) or default, schemes, allowed)


def checked_url(name: str, value: str, schemes: Collection[str], allowed: str) -> str:
    """The value of the named setting, checked as `url` checks a variable's value.

    Raises:
        InvalidSetting: as in `url`.
    """
    for part in value.split(";"):
        scheme, _, rest = part.partition("://")
        try:
            known = scheme in schemes and urlsplit(f"//{rest}").port != 0
        except ValueError:
            known = False
        if not known:
            raise InvalidSetting(name, _shown(_without_password(part)), allowed)
    return value


def broker_url() -> str:
    """The broker's URL: CELERY_BROKER_URL, one or several with `;` between them, or RabbitMQ's default address here.

    Raises:
        InvalidSetting: one is not the URL of an AMQP broker; the error shows that one.
    """
    return url(
        "CELERY_BROKER_URL",
        BROKER_SCHEMES,
        default="amqp://guest:guest@localhost:5672//",
        allowed=A_BROKER_URL,
    )


def broker_tls(broker: str) -> bool | dict[str, Any]:
    """Celery's `broker_use_ssl` for the broker at this URL, or these; False when the scheme alone decides.

    PROJ_BROKER_CA names the file of the CAs to trust in place of the machine's. PROJ_BROKER_CERTIFICATE and
    PROJ_BROKER_KEY name the client's certificate and its key, which may be in one file.

    Raises:
        InvalidSetting: a file cannot be used, or the URL is one without TLS.
    """
    ca, certificate, key = (os.environ.get(f"PROJ_BROKER_{name}") for name in ("CA", "CERTIFICATE", "KEY"))
    if not (ca or certificate or key):
        return False
    if any(not part.startswith("amqps:") for part in broker.split(";")):
        raise InvalidSetting(
            "CELERY_BROKER_URL",
            _shown(";".join(map(_without_password, broker.split(";")))),
            "an amqps:// URL while PROJ_BROKER_CA, PROJ_BROKER_CERTIFICATE or PROJ_BROKER_KEY is set, "
            "because amqp:// does not use TLS",
        )
    if key and not certificate:
        raise InvalidSetting("PROJ_BROKER_KEY", key, "the key of the certificate in PROJ_BROKER_CERTIFICATE, not set")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise InvalidSetting("PROJ_BROKER_CA", ca, f"a file with the CA's certificate ({_said(error)})") from error
    if certificate:
        try:
            # Without this OpenSSL asks for the passphrase in the terminal.
            context.load_cert_chain(certificate, key or None, password=_refuse_passphrase)
        except OSError as error:
            raise InvalidSetting(
                "PROJ_BROKER_CERTIFICATE",
                certificate,
                f"the file of a certificate, with its key, without a passphrase, there or in PROJ_BROKER_KEY "
                f"({_said(error)})",
            ) from error
    options = {"ca_certs": ca, "certfile": certificate, "keyfile": key}
    return {name: value for name, value in options.items() if value}


def _refuse_passphrase() -> str:
    raise PermissionError("the key has a passphrase")


def _said(error: OSError) -> str:
    return error.strerror or str(error)


def in_random_order(urls: str) -> str:
    """The URLs, which have `;` between them, in another order each time: kombu connects to the first, then in turn.

    So clients spread over the nodes of a cluster.
    """
    parts = urls.split(";")
    random.shuffle(parts)
    return ";".join(parts)


def _shown(value: str) -> str:
    """The value as an error shows it: only the beginning of a long one."""
    return value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}… ({len(value)} characters)"


def _without_password(value: str) -> str:
    """The URL without its password."""
    head, at, tail = value.rpartition("@")
    user = head.rpartition(":")[0] if at else ""
    return f"{user}:**@{tail}" if at else value
