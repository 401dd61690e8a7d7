"""A gap: a time in which events are known to be missing from the journal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Events that are known not to have reached the journal."""

    #: Seconds since the epoch between which they were lost, as far as known.
    began: float
    ended: float
    #: How many, when it is known.
    events: int | None
    #: One sentence for people.
    reason: str
