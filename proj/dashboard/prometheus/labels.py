"""Labels: bounds the number and the length of label values, because anyone who can publish can forge names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

#: The label value of everything that has no series of its own.
OTHER = "other"
#: The label value of what is not known.
UNKNOWN = "unknown"
MOST_CHARACTERS = 100
#: Seconds after which a name that does not occur any more loses its series.
FORGET_S = 3600.0

_MODES = frozenset({"round-robin", "fair", "adaptive", OTHER})
#: Celery's name of a process that only publishes; every start of every producer has a new one.
_PRODUCER = re.compile(r"gen\d+@")

Name = TypeVar("Name", bound="Hashable")


class BoundedLabels(Generic[Name]):
    """The names with series of their own: the first `most` names, each until it has not occurred for an hour."""

    def __init__(self, most: int) -> None:
        """Admit at most `most` names."""
        self._most = most
        #: When each name last occurred.
        self._seen: dict[Name, float] = {}

    def admit(self, name: Name, now: float) -> bool:
        """Whether the name has series of its own, or gets them now; `now` is in seconds of any one clock."""
        if name not in self._seen and len(self._seen) >= self._most:
            return False
        self._seen[name] = now
        return True

    def forget(self, now: float) -> None:
        """Remove the names that have not occurred for an hour."""
        self._seen = {name: seen for name, seen in self._seen.items() if now - seen < FORGET_S}

    def __iter__(self) -> Iterator[Name]:
        """The names with series of their own."""
        return iter(tuple(self._seen))

    def __contains__(self, name: object) -> bool:
        """Whether the name has series of its own."""
        return name in self._seen


def label(text: str | None) -> str:
    """The text as a label value: cut, and without characters that cannot be printed or encoded."""
    if text is None:
        return UNKNOWN
    cut = text[:MOST_CHARACTERS]
    return (
        cut
        if cut.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
    )


def worker_label(name: str) -> str:
    """The worker's name as a label value; "other" for a process that only publishes."""
    return OTHER if _PRODUCER.match(name) else label(name)


def dispatch_label(dispatch: str | None) -> str:
    """The dispatch mode as a label value: one of the known modes, "other" or "unknown"."""
    if dispatch is None:
        return UNKNOWN
    return dispatch if dispatch in _MODES else OTHER
