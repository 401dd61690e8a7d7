"""Anything that a stranger can publish to a task queue, for hypothesis: headers, properties and bodies."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from proj.delivery.validation.header_rules import RULES

TASK = "kept.anything"

#: What a body can say: JSON of every shape.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: What a header can say. RabbitMQ refuses a number that is none, and ends the publisher's connection for it.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.binary(max_size=10)
    | st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1)).map(lambda moment: moment.replace(microsecond=0))  # noqa: DTZ001 AMQP has none
    | st.decimals(-1000, 1000, places=2).map(Decimal),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [*RULES, "task", "id", "compression", "x-proj-strikes", "x-delivery-count", "get", "__class__"]
)
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
#: Short texts of AMQP's own: at most 255 bytes.
_SHORT = st.text(max_size=60)


@dataclass(frozen=True)
class Hostile:
    """One message, as it is published."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


_BODIES = st.one_of(
    st.just(encoded([[], {}, _EMBED])),
    st.tuples(st.lists(JSON, max_size=3), st.dictionaries(st.text(max_size=5), JSON, max_size=2)).map(
        lambda parts: encoded([*parts, _EMBED])
    ),
    st.dictionaries(st.sampled_from([*_EMBED, "id", "x"]), JSON, max_size=3).map(
        lambda embed: encoded([[], {}, embed])
    ),
    st.tuples(
        st.just({"task": TASK, "id": "1", "args": [], "kwargs": {}}), st.dictionaries(_NAMES, JSON, max_size=2)
    ).map(lambda parts: encoded({**parts[0], **parts[1]})),
    JSON.map(encoded),
    st.binary(max_size=60),
    st.integers(1, 4000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.just(zlib.compress(encoded([[], {}, _EMBED]))),
)
_USUAL = {"content_type": "application/json", "content_encoding": "utf-8"}
_PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["application/json", "application/data", "text/plain", "x"]) | _SHORT,
        "content_encoding": st.sampled_from(["utf-8", "binary", "utf-16", "idna", "zlib", "unicode_escape"]) | _SHORT,
        "correlation_id": _SHORT,
        "reply_to": _SHORT.map(lambda text: f"nobody-{text}"),
        "priority": st.integers(0, 255),
        "type": _SHORT,
        "app_id": _SHORT,
        "timestamp": st.integers(0, 2**64 - 1),
        "delivery_mode": st.sampled_from([1, 2]),
    },
)
_PROPER = st.uuids().map(lambda number: {"task": TASK, "id": str(number), "lang": "py", "retries": 0})
_HEADERS = st.one_of(
    _PROPER,
    st.tuples(_PROPER, st.dictionaries(_NAMES, VALUES, max_size=2)).map(lambda parts: {**parts[0], **parts[1]}),
    st.dictionaries(_NAMES | st.text(max_size=10), VALUES, max_size=4),
)
MESSAGES = st.builds(Hostile, _BODIES, _HEADERS, _PROPERTIES | st.just(_USUAL))
