"""The error for a queue that somebody else makes, and that is not there."""

from __future__ import annotations

from proj.errors import Unroutable


def missing_queue(name: str) -> Unroutable:
    """What is raised where a queue is missing and `declare` is False."""
    return Unroutable(
        f"There is no queue {name!r}, and declare=False, so it is not declared: "
        "whoever makes the queues of this broker must make it."
    )
