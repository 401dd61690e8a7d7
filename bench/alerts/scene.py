"""A scene: a fault, what it strikes, and what Prometheus must say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerts.system import System

#: The virtual host of all scenes whose alert names a queue of their own.
SHARED = "shop"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A fault, and the alert that it must raise, or that it must raise none."""

    name: str
    #: Everything up to its `yield` comes before the fault, and the rest is the fault; after a second one it ends.
    play: Callable[[System], Iterator[None]]
    #: The alert; empty when none may be raised.
    alert: str = ""
    #: The queue that the alert names, or that none may name; empty when it names none.
    queue: str = ""
    #: Seconds within which it must fire, or in which none may.
    within_s: float
    #: The virtual host in which it is struck, each with a dashboard and a Prometheus of its own.
    host: str = SHARED
