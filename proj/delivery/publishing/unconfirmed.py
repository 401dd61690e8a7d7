"""The error for messages in flight that were not confirmed before the deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.broker_errors import queue_full
from proj.errors import Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from proj.delivery.publishing.outgoing_message import OutgoingMessage
    from proj.errors import QueueFull

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


def rejected(
    ids: Sequence[str], waiting: Collection[OutgoingMessage], *, tried_s: float | None, confirmed: int
) -> QueueFull | None:
    """The error for tasks that the broker has rejected, every one; None when it may have some of them.

    Args:
        ids: of all tasks that are not confirmed.
        waiting: the messages that are to be written again.
        tried_s: seconds since the first nack; None when there was none since the last confirm.
        confirmed: the number of others that the broker has.
    """
    nacks = [outgoing.nack for outgoing in waiting if outgoing.nack]
    if not nacks or tried_s is None or len(ids) != len(waiting) or any(outgoing.lost for outgoing in waiting):
        return None
    return queue_full(subject_of(ids), nacks[0], tried_s=tried_s, task_ids=tuple(ids), accepted=confirmed)
