"""A run: one stretch of work that is measured as a whole, with its dispatch mode and how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of a run."""

    #: Unique in its journal, such as "fair-odd-heavy-1".
    name: str
    #: round-robin, fair, adaptive, or None when nobody said.
    dispatch: str | None
    #: Seconds since the epoch; `ended` is None while it lasts.
    began: float
    ended: float | None = None
    #: How it was made: workload, seed, workers, slots, dot_seconds, repeat; JSON types only.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Where: host, platform, processors, memory, versions of Python, Celery, kombu and RabbitMQ; JSON types only.
    machine: dict[str, Any] = field(default_factory=dict)
