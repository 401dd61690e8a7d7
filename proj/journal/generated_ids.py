"""Generated task ids: a worker makes one for a message without an id, and another one at each redelivery of it."""

from __future__ import annotations

import uuid

_PREFIX = "plain-"
_REDELIVERED_PREFIX = "plain-again-"


def generated_id(*, redelivered: bool) -> str:
    """A new id for a message without one. Its prefix tells whether the broker had delivered the message before."""
    return f"{_REDELIVERED_PREFIX if redelivered else _PREFIX}{uuid.uuid4()}"


def is_generated(task_id: str) -> bool:
    """Whether the id was generated, so that a redelivery of the same message has another one."""
    return task_id.startswith(_PREFIX)


def is_generated_on_redelivery(task_id: str) -> bool:
    """Whether the id was generated for a redelivery, so that an earlier delivery of the message has another one."""
    return task_id.startswith(_REDELIVERED_PREFIX)
