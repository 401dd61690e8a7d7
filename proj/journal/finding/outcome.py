"""Outcome: what became of one delivery of a task, and why the task came back, in words."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from proj.journal.attempt import LOST, RETURNED
from proj.journal.event import EXPIRED, RECEIVED, RETRIED, REVOKED, SENT, STARTED, SUCCEEDED
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.journal.attempt import Attempt

_REJECTED = "rejected"


def outcomes(attempts: Sequence[Attempt]) -> list[str]:
    """What became of each attempt of one task, all of which are given by number, in half a sentence."""
    return [outcome(one, later) for one, later in zip_longest(attempts, attempts[1:])]


def outcome(attempt: Attempt, later: Attempt | None) -> str:
    """What became of an attempt; `later` is the next attempt of its task."""
    worker = printable(attempt.worker or "a worker")
    again = f"delivered again{_to(later)}"
    ran = _lasted("after", attempt.runtime_s) or _lasted("after", _between(attempt.started, attempt.finished))
    if attempt.state == LOST:
        return f"started and not ended, then {again}: {worker}, its pool process or its connection was lost"
    if attempt.state == RETURNED:
        held = _lasted("for", _between(attempt.received, None if later is None else later.received or later.started))
        return f"held{held} and not started, then {again}: {worker} gave it back, or its connection was lost"
    if attempt.state == RETRIED:
        return f"asked for a retry{ran}" + (f", then {again}" if later is not None else "")
    if attempt.state == _REJECTED:
        return f"given back to its queue, then {again}" if later is not None else "given back, or dead-lettered"
    plain = {
        SENT: "sent; no worker is known to have received it",
        RECEIVED: f"received by {worker}; no start is known",
        STARTED: f"started by {worker}; no end is known",
        SUCCEEDED: f"succeeded{ran}",
        REVOKED: "revoked",
        EXPIRED: "expired before it was started",
    }
    ended = plain.get(attempt.state, f"{attempt.state}{ran}")
    return ended if later is None else f"{ended}; then {again}"


def _to(later: Attempt | None) -> str:
    return "" if later is None or later.worker is None else f" to {printable(later.worker)}"


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)


def _lasted(word: str, seconds: float | None) -> str:
    return "" if seconds is None else f" {word} {seconds:,.2f} s"
