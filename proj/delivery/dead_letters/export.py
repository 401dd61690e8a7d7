"""Dead letters in a file: one JSON line a letter, with all that is needed to publish it again."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from proj.errors import ProjError
from proj.printable import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.dead_letters.queue import UnackedLetter

#: The version of the format, in every line.
VERSION = 1


class ExportedLetter(NamedTuple):
    """A letter from a file, as it is published again."""

    id: str
    properties: dict[str, Any]
    body: bytes


def to_line(unacked: UnackedLetter) -> str:
    """The letter as one line of JSON: what is known of it, its properties with headers, and its body in base64."""
    properties = {name: to_json(value) for name, value in unacked.properties.items()}
    headers = unacked.properties.get("application_headers")
    if headers:
        # One by one, so that a header that is nested too deep is the only one that is described.
        properties["application_headers"] = to_json({name: described_if_deep(value) for name, value in headers.items()})
    return json.dumps(
        {
            "dead_letter": VERSION,
            **asdict(unacked.letter),
            "properties": properties,
            "body": base64.b64encode(unacked.body).decode(),
        }
    )


def from_line(text: str, *, number: int) -> ExportedLetter:
    """The letter in line `number` of an export.

    Raises:
        ProjError: the line is not an exported letter.
    """
    try:
        row = json.loads(text)
        version = row["dead_letter"]
        letter = ExportedLetter(
            id=str(row["id"]),
            properties={name: from_json(value) for name, value in row["properties"].items()},
            body=base64.b64decode(row["body"], validate=True),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ArithmeticError, OSError) as error:
        raise ProjError(f"Line {number} is not a dead letter that `queues dead --export` wrote: {error!r}.") from error
    if version != VERSION:
        raise ProjError(f"Line {number} is a dead letter in format version {version!r}, but must be in {VERSION}.")
    return letter


def to_json(value: object) -> object:
    """An AMQP value as JSON; a type that JSON lacks becomes an object with one key that begins with a `$`."""
    return _to_json(described_if_deep(value))


def from_json(value: object) -> object:
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


def described_if_deep(value: object) -> object:
    """The value, or a text that describes it where it is nested too deep for JSON."""
    try:
        json.dumps(_to_json(value))
    except RecursionError:
        return described(value)
    return value


def _to_json(value: object) -> object:
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


#: How a type that JSON lacks is written, by the type, and read, by its key.
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
