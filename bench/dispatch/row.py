"""A row of a table: one way to consume tasks, as the command line of its worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How the messages of a row are written.
CELERY, DRAMATIQ, BARE = "celery", "dramatiq", "bare"
#: In a command line, the place of the broker's URL.
URL = "{url}"
#: The row that the others are compared with.
DEFAULT = "celery-default"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to consume tasks."""

    name: str
    #: The worker's command line, without the interpreter.
    command: tuple[str, ...]
    queue: str
    messages: str = CELERY
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Whether the worker sends task events, which are then consumed and counted.
    events: bool = False
    #: Whether the messages ask for results.
    results: bool = False
    workers: int = 1
    #: How many tasks it gets, as a multiple of the usual number: ways that are much faster or slower need it.
    scale: float = 1.0
    #: A second row that it is compared with: the same without what is ours.
    beside: str | None = None
    #: A module that is not part of the project, without which the row is left out.
    needs: str | None = None
    #: The PROJ_DISPATCH that it is started with, without which it is left out; None for the default.
    dispatch: str | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many workers there are, and of what kind."""

    pool: str = "prefork"
    slots: int = 1
    workers: int = 1

    def __str__(self) -> str:
        """In words, for the title of a table."""
        workers = "one worker" if self.workers == 1 else f"{self.workers} workers"
        slots = "one slot" if self.slots == 1 else f"{self.slots} slots"
        return f"{workers} of {slots}, {self.pool} pool"
