"""Label values of our metrics: bounded in number and in length, whatever is forged on the bus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

#: What has no place of its own is counted together under this.
OTHER = "other"
#: What nobody told.
UNKNOWN = "unknown"
MOST_CHARACTERS = 100
#: Seconds after which a name that is not met any more gives up its place.
FORGET_S = 3600.0

_MODES = frozenset({"round-robin", "fair", "adaptive", OTHER})
#: How Celery names a process that only publishes: there is a new one for each start of each producer.
_PRODUCER = re.compile(r"gen\d+@")

Name = TypeVar("Name", bound="Hashable")


class Places(Generic[Name]):
    """The names that have a series of their own: the first so many, each until it is not met for an hour."""

    def __init__(self, most: int) -> None:
        """Leave room for `most` names."""
        self._most = most
        self._met: dict[Name, float] = {}

    def admit(self, name: Name, now: float) -> bool:
        """Whether the name has a place, or gets a free one now; `now` in seconds of any one clock."""
        if name not in self._met and len(self._met) >= self._most:
            return False
        self._met[name] = now
        return True

    def forget(self, now: float) -> None:
        """Free the places of names that were not met for long."""
        self._met = {name: met for name, met in self._met.items() if now - met < FORGET_S}

    def __iter__(self) -> Iterator[Name]:
        """The names that have a place."""
        return iter(tuple(self._met))

    def __contains__(self, name: object) -> bool:
        """Whether the name has a place."""
        return name in self._met


def label(text: str | None) -> str:
    """The text as a label value: not too long, and without what breaks a line or cannot be encoded."""
    if text is None:
        return UNKNOWN
    cut = text[:MOST_CHARACTERS]
    return (
        cut
        if cut.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
    )


def worker_label(name: str) -> str:
    """The worker's name; a process that only publishes is no worker."""
    return OTHER if _PRODUCER.match(name) else label(name)


def dispatch_label(dispatch: str | None) -> str:
    """One of the modes that there are."""
    if dispatch is None:
        return UNKNOWN
    return dispatch if dispatch in _MODES else OTHER
