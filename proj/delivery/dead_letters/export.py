"""Dead letters in a file: JSON lines with everything that is needed to publish them again."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from proj.delivery.printable import described
from proj.errors import ProjError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.dead_letters.queue import HeldLetter

#: The version of the form, in every line.
VERSION = 1


def line(held: HeldLetter) -> str:
    """The letter as one line of JSON: what is known of it, its properties (with headers) and its body in base64."""
    properties = {name: to_json(value) for name, value in held.properties.items()}
    headers = held.properties.get("application_headers")
    if headers:
        # Each for itself, so that one nested without end spoils no other.
        properties["application_headers"] = to_json({name: described_if_deep(value) for name, value in headers.items()})
    return json.dumps(
        {
            "dead_letter": VERSION,
            **asdict(held.letter),
            "properties": properties,
            "body": base64.b64encode(held.body).decode(),
        }
    )


def message(text: str, *, number: int) -> tuple[str, dict[str, Any], bytes]:
    """The id, properties and body of a letter from line `number` of such a file.

    Raises:
        ProjError: the line is none of ours.
    """
    try:
        row = json.loads(text)
        version = row["dead_letter"]
        letter = str(row["id"]), from_json(row["properties"]), base64.b64decode(row["body"], validate=True)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ArithmeticError, OSError) as error:
        raise ProjError(f"Line {number} is no dead letter that `queues dead --export` wrote: {error!r}.") from error
    if version != VERSION:
        raise ProjError(f"Line {number} is of version {version!r}, but must be of {VERSION}.")
    return letter


def to_json(value: Any) -> Any:  # noqa: ANN401 AMQP's values have no narrower type
    """An AMQP value in what JSON has; what JSON lacks becomes an object with one key that begins with a `$`."""
    return _to_json(described_if_deep(value))


def from_json(value: Any) -> Any:  # noqa: ANN401 as above
    """The AMQP value that `to_json` was given."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, item),) = value.items()
        if key in _READERS:
            return _READERS[key](item)
    return {key: from_json(item) for key, item in value.items()}


def described_if_deep(value: Any) -> Any:  # noqa: ANN401 as above
    """The value, or words for it where it is nested so deeply that JSON cannot hold it."""
    try:
        json.dumps(_to_json(value))
    except RecursionError:
        return described(value)
    return value


def _to_json(value: Any) -> Any:  # noqa: ANN401 as above
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _to_json(item) for key, item in value.items()}
        return {"$table": [[_to_json(key), _to_json(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    for kind, (key, written) in _WRITERS.items():
        if isinstance(value, kind):
            return {key: written(value)}
    return value


#: How what JSON lacks is written, and read again.
_WRITERS: dict[type, tuple[str, Callable[[Any], object]]] = {
    bytes: ("$bytes", lambda value: base64.b64encode(value).decode()),
    memoryview: ("$bytes", lambda value: base64.b64encode(value).decode()),
    datetime: ("$time", lambda value: value.replace(tzinfo=timezone.utc).timestamp()),
    Decimal: ("$decimal", str),
}
_READERS: dict[str, Callable[[Any], object]] = {
    "$table": lambda item: {from_json(name): from_json(entry) for name, entry in item},
    "$bytes": lambda item: base64.b64decode(item, validate=True),
    "$time": lambda item: datetime.fromtimestamp(item, tz=timezone.utc).replace(tzinfo=None),
    "$decimal": Decimal,
}
