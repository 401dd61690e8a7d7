"""Search: the attempts of a journal that match a query, the newest first, within a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.reader import JournalReader

#: Rows that are looked through between two looks at the clock; some hundredths of a second.
ROWS = 50_000


class Condition(Protocol):
    """What to look for, such as a `Query`."""

    @property
    def has_id(self) -> bool:
        """Whether the index of the ids finds it."""

    def matches(self, attempt: Attempt) -> bool:
        """Whether an attempt is looked for."""

    def condition(self) -> tuple[str, Sequence[object]]:
        """The same as a condition of SQL on the table of attempts, with its parameters."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found."""

    #: The newest first: by the first events of their tasks.
    attempts: tuple[Attempt, ...]
    #: Whether there are more, which the limit leaves out.
    more: bool = False
    #: Whether the time was over before all was looked through; then, the first event of the oldest attempt that was
    #: looked at, in seconds since the epoch.
    is_over: bool = False
    back_to: float | None = None


def search(
    journal: JournalReader,
    query: Condition,
    *,
    limit: int,
    timeout_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """The latest `limit` attempts of the journal that match, found within `timeout_s`, or however long it takes.

    The begin of an id is found by the index of the ids. All else is looked for in one row after the other.
    """
    condition, parameters = query.condition()
    if query.has_id:
        found = journal.attempts_where(condition, parameters, limit=limit + 1)
        return Found(attempts=tuple(found[:limit]), more=len(found) > limit)
    until = None if timeout_s is None else clock() + timeout_s
    attempts: list[Attempt] = []
    high = journal.last_row()
    while high > 0 and len(attempts) <= limit:
        if until is not None and clock() > until:
            return Found(attempts=tuple(attempts), is_over=True, back_to=journal.first_time(above=high))
        low = max(0, high - ROWS)
        left = limit + 1 - len(attempts)
        attempts += journal.attempts_where(condition, parameters, above=low, up_to=high, limit=left)
        high = low
    return Found(attempts=tuple(attempts[:limit]), more=len(attempts) > limit)


def search_attempts(attempts: Iterable[Attempt], query: Condition, *, limit: int) -> Found:
    """The first `limit` of the attempts that match."""
    found = list(islice(filter(query.matches, attempts), limit + 1))
    return Found(attempts=tuple(found[:limit]), more=len(found) > limit)
