"""The options of a message queue, each checked before anything is connected."""

from __future__ import annotations

import math
from typing import Any

from proj import environment, queues
from proj.errors import InvalidSetting

#: AMQP's limits: the bytes of a queue's name, and a number of two bytes.
_LONGEST_NAME = 255
_LARGEST_SHORT = 65_535


def name(given: str) -> str:
    """The name of a queue."""
    size = _bytes(given)
    if size is None or not 0 < size <= _LONGEST_NAME:
        raise InvalidSetting("The name of a queue", given, f"a text of 1 to {_LONGEST_NAME} bytes")
    return given


def queue_type(given: str | None) -> str:
    """The type of a queue; by default PROJ_QUEUE_TYPE."""
    if not given:
        return environment.choice("PROJ_QUEUE_TYPE", queues.QUEUE_TYPES, default=queues.QUORUM)
    if given not in queues.QUEUE_TYPES:
        raise InvalidSetting("queue_type", given, "one of " + ", ".join(queues.QUEUE_TYPES))
    return given


def url(given: str | None) -> str:
    """The URL of the broker; by default CELERY_BROKER_URL."""
    if not given:
        return environment.broker_url()
    if not isinstance(given, str):
        raise InvalidSetting("url", given, environment.A_BROKER_URL)
    checked = environment.checked_url("url", given, environment.BROKER_SCHEMES, environment.A_BROKER_URL)
    return environment.in_random_order(checked)


def tls(broker: str) -> bool | dict[str, Any]:
    """Whether and how to use TLS with the broker at this URL: PROJ_BROKER_CA and its like, if it is an amqps:// URL."""
    return environment.broker_tls(broker) if broker.startswith("amqps:") else False


def declare(given: object) -> bool:
    """Whether queues are declared."""
    if not isinstance(given, bool):
        raise InvalidSetting("declare", given, "True or False")
    return given


def prefetch(given: int) -> int:
    """How many unacknowledged messages at a time; 0 is without limit."""
    return _whole("prefetch", given, lowest=0, highest=_LARGEST_SHORT)


def attempts(given: int) -> int:
    """How often a handler is tried."""
    return _whole("attempts", given, lowest=1)


def pill(given: str | None) -> str | None:
    """The text that ends consumers; not empty, because any message without a body would match it."""
    if given is not None and not _bytes(given):
        raise InvalidSetting("pill", given, "a text that is not empty, such as 'HALT', or None for no pill")
    return given


def timeout_s(given: float | None) -> float | None:
    """Seconds until a publish is given up."""
    if given is not None and not (_is_number(given) and 0 < given < math.inf):
        raise InvalidSetting("timeout_s", given, "a number of seconds above 0, or None to wait for ever")
    return given


def heartbeat_s(given: float) -> float:
    """Seconds between heartbeats, 0 or at least 1: AMQP sends whole seconds, so less than one would mean none."""
    if not (_is_number(given) and (given == 0 or 1 <= given <= _LARGEST_SHORT)):
        raise InvalidSetting("heartbeat_s", given, f"a number of seconds from 1 to {_LARGEST_SHORT}, or 0 for none")
    return given


def _whole(option: str, given: int, *, lowest: int, highest: int | None = None) -> int:
    if not _is_number(given, int) or given < lowest or (highest is not None and given > highest):
        upwards = "upwards" if highest is None else f"to {highest}"
        raise InvalidSetting(option, given, f"a whole number from {lowest} {upwards}")
    return given


def _bytes(given: object) -> int | None:
    """How many bytes a text has in UTF-8; None when it is no text or UTF-8 cannot write it."""
    try:
        return len(given.encode()) if isinstance(given, str) else None
    except UnicodeEncodeError:
        return None


def _is_number(given: object, *kinds: type) -> bool:
    """Whether it is a number of these kinds; a bool is not, although Python counts it as an int."""
    return isinstance(given, kinds or (int, float)) and not isinstance(given, bool)
