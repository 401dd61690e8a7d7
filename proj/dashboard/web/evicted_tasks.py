"""Evicted tasks: a task that leaves Flower's state is freed at once, and not by the next full garbage collection.

Celery's task of a monitor holds methods of itself, and so a cycle. Each evicted one took 5 KiB until that collection,
two minutes at most: 180 MiB at 300 tasks a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.events.state import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class AcyclicTask(Task):
    """Celery's task of a monitor, which makes the methods when they are needed."""

    @property
    def _serializer_handlers(self) -> Mapping[str, Callable[[object], object]]:
        # celery-types does not know the methods.
        return {field: getattr(self, f"_serializable_{field}") for field in ("children", "root", "parent")}

    @_serializer_handlers.setter
    def _serializer_handlers(self, handlers: object) -> None:
        """Keep nothing of what Celery sets."""
