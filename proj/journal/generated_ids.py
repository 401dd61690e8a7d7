"""Ids of messages that came without one: a worker gives them, anew at each delivery, and their look tells so."""

from __future__ import annotations

import uuid

_NAMELESS = "plain-"
_AGAIN = "plain-again-"


def generated_id(*, redelivered: bool) -> str:
    """A new id for a message without one; it says whether the broker had delivered that message before."""
    return f"{_AGAIN if redelivered else _NAMELESS}{uuid.uuid4()}"


def is_generated(task_id: str) -> bool:
    """Whether the message had no id of its own, so that its next delivery may have another."""
    return task_id.startswith(_NAMELESS)


def is_generated_on_redelivery(task_id: str) -> bool:
    """Whether the message had been delivered before, under another id."""
    return task_id.startswith(_AGAIN)
