"""Documents: JSON that is computed while someone asks for it, and compressed once however many ask."""

from __future__ import annotations

import gzip
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

K = TypeVar("K")

#: Seconds for which a document counts as watched after it was last asked for.
WATCHED_S = 10.0
#: Documents that are computed at the same time.
MOST_SHOWN = 8
#: Level of compression: higher ones take twice the time for a twentieth fewer bytes.
LEVEL = 5


class Document(bytes):
    """JSON as bytes."""

    @cached_property
    def gzipped(self) -> bytes:
        """The same, compressed; always the same bytes, without a time."""
        return gzip.compress(self, LEVEL, mtime=0)


class Documents(Generic[K]):
    """The last documents by key, and which of them someone watches. Any thread may ask; one thread puts."""

    def __init__(self) -> None:
        """Begin with none."""
        self._documents: dict[K, Document] = {}
        #: When each was last asked for, by the monotonic clock.
        self._asked: dict[K, float] = {}

    def __iter__(self) -> Iterator[K]:
        """The keys of the documents."""
        return iter(tuple(self._documents))

    def __contains__(self, key: object) -> bool:
        """Whether there is a document of this key."""
        return key in self._documents

    def ask(self, key: K, now: float) -> bool:
        """Keep new documents of this key coming; returns whether nobody watched it."""
        is_new = now - self._asked.get(key, float("-inf")) > WATCHED_S
        # The one that was asked for longest ago makes room, because anyone may ask for any name.
        if key not in self._asked and len(self._asked) >= MOST_SHOWN:
            del self._asked[min(self._asked.copy(), key=self._asked.__getitem__)]
        self._asked[key] = now
        return is_new

    def get(self, key: K) -> Document | None:
        """The last document of this key."""
        return self._documents.get(key)

    def watched(self, now: float) -> list[K]:
        """The keys that someone watches."""
        return [key for key, asked in tuple(self._asked.items()) if now - asked <= WATCHED_S]

    def put(self, key: K, document: bytes) -> None:
        """Take a new document."""
        self._documents[key] = Document(document)

    def forget(self, key: K) -> None:
        """Forget the document of this key, if there is one."""
        self._documents.pop(key, None)

    def keep(self, keys: Iterable[K]) -> None:
        """Forget all others."""
        for key in self._documents.keys() - set(keys):
            del self._documents[key]
