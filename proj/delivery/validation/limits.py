"""The limits of a message that is run: the depth of its nesting, the size of its body, and its latest ETA."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits beyond which a message is refused."""

    #: Levels of lists and tables inside each other in a body. A chain of groups has two for each group. Celery 5.7 runs
    #: one of 150 groups, and fails at one of 200 (404 levels, RecursionError); json fails at 990 (CPython 3.11).
    deepest: int = 400
    #: The same in headers, of which a canvas has none. pickle, which sends them to the pool's processes, fails at 498
    #: levels, and the task may add levels of its own.
    deepest_headers: int = 200
    #: Bytes of a body after decompression. RabbitMQ 4 refuses larger messages itself.
    largest_bytes: int = 16 * 1024 * 1024
    #: Seconds from now until the latest ETA: the worker holds the message until then.
    latest_eta_s: float = 365 * 86_400.0


#: The names in the third part of a body that hold what is to be run later.
_CANVAS = ("chain", "chord", "callbacks", "errbacks")

#: Types of most values that have no level.
_FLAT = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS = (dict, list, tuple, set, frozenset, Mapping)


def is_deeper(value: object, limit: int) -> bool:
    """Whether the value has more than `limit` levels of lists and tables; a text or a number has no level."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            inner
            for container in level
            for inner in _inside(container)
            # To ask of a text whether it is a Mapping takes ten times as long as to look its type up.
            if type(inner) not in _FLAT and isinstance(inner, _CONTAINERS)
        ]
    return bool(level)


def is_canvas_deeper(body: object, limit: int) -> bool:
    """Whether the body of a task message holds a canvas, and has more than `limit` levels."""
    embed = body[-1] if isinstance(body, tuple) and body else None
    return isinstance(embed, dict) and any(embed.get(name) for name in _CANVAS) and is_deeper(body, limit)


def _inside(container: Iterable[object] | Mapping[object, object]) -> Iterable[object]:
    if isinstance(container, (list, tuple)):
        return container
    return container.values() if isinstance(container, (dict, Mapping)) else container


#: Values of kombu's header `compression`, for the codecs of the standard library. The other codecs are optional
#: packages, which the owner of the worker chose to install.
_DECOMPRESSORS: Mapping[str, Callable[[], Any]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
}


def inflates_beyond(body: bytes, codec: object, limit_bytes: int) -> bool:
    """Whether the body is compressed with a known codec, and decompresses to more than `limit_bytes`."""
    make = _DECOMPRESSORS.get(codec) if isinstance(codec, str) else None
    if make is None:
        return False
    try:
        return len(make().decompress(body, limit_bytes + 1)) > limit_bytes
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error):
        # It is not compressed like this. kombu finds the same, and its error becomes the reason.
        return False
