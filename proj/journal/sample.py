"""A sample of a queue's depth at one time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the broker said of one queue."""

    #: Seconds since the epoch.
    time: float
    queue: str
    ready: int
    #: None when the broker could not be asked.
    unacknowledged: int | None
    consumers: int
