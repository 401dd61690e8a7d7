"""When a message is due and when it is too late: times as Celery will convert them, or why it cannot."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.utils.time import maybe_iso8601, maybe_make_aware, timezone
from kombu.asynchronous.timer import to_timestamp

from proj.delivery.printable import shown

if TYPE_CHECKING:
    from datetime import tzinfo


def eta_fault(value: Any, *, zone: tzinfo, now: float, latest_s: float) -> str | None:  # noqa: ANN401 a header
    """Why a task cannot be held until `value`, or None; times in seconds, `now` since the epoch."""
    if value is None:
        return None
    try:
        due = _seconds(value, zone)
    except Exception as error:  # noqa: BLE001 a parser raises what it likes
        return f"Its header 'eta' is {shown(value)}, which is no time that this worker can wait for: {shown(error)}."
    if due - now > latest_s:
        return (
            f"Its header 'eta' is {shown(value)}, which is later than the {latest_s / 86_400:g} days from now "
            "that proj_latest_eta_s allows."
        )
    return None


def expires_fault(value: Any, *, zone: tzinfo) -> str | None:  # noqa: ANN401 a header
    """Why `value` is not a time to compare the clock with, or None."""
    if value is None:
        return None
    try:
        _seconds(value, zone)
    except Exception as error:  # noqa: BLE001 a parser raises what it likes
        return f"Its header 'expires' is {shown(value)}, which is no time: {shown(error)}."
    return None


def _seconds(value: Any, zone: tzinfo) -> float:  # noqa: ANN401 a header
    """The time as `celery.worker.request` reads it and `celery.worker.strategy` converts it, since the epoch."""
    moment = maybe_iso8601(value)
    if not isinstance(moment, datetime):
        raise TypeError("it is neither a time nor an ISO 8601 text")
    aware = maybe_make_aware(moment, zone)
    # What the worker's timer is given, on the monotonic clock; here for what it raises.
    to_timestamp(aware, zone)  # type: ignore[arg-type] # unlike celery-types
    to_timestamp(timezone.to_system(aware))
    return float(aware.timestamp())
