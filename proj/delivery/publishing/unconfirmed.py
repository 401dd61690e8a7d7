"""The error for messages in flight that were not confirmed before the deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.errors import Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many ids of tasks an error's sentence shows; its `task_ids` has all.
IDS_SHOWN = 3


def subject_of(ids: Sequence[str]) -> str:
    """The tasks as they stand in an error's sentence."""
    if len(ids) == 1:
        return f"task {ids[0]}"
    return f"{len(ids)} tasks ({', '.join(ids[:IDS_SHOWN])}{', …' * (len(ids) > IDS_SHOWN)})"


def unconfirmed(ids: Sequence[str], *, timeout_s: float | None, reason: str, confirmed: int) -> Unconfirmed:
    """The error for tasks that the broker may have or not; `confirmed` is the number of others that it has."""
    each = "it" if len(ids) == 1 else "each of them"
    return Unconfirmed(
        f"RabbitMQ did not confirm {subject_of(ids)} within {timeout_s:g} s ({reason}). "
        f"It may or may not have accepted {each}: what you publish again may be there twice. "
        f"It confirmed {confirmed} others.",
        tuple(ids),
    )
