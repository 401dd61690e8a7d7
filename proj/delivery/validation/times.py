"""Checks of a message's `eta` and `expires`: whether Celery can convert them, and whether the ETA is near enough."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from celery.utils.time import maybe_iso8601, maybe_make_aware, timezone
from kombu.asynchronous.timer import to_timestamp

from proj.printable import shown

if TYPE_CHECKING:
    from datetime import tzinfo


def eta_fault(value: object, *, zone: tzinfo, now: float, latest_s: float) -> str | None:
    """Why a worker cannot hold a task until `value`, or None.

    Args:
        value: the header `eta`.
        zone: the time zone of a time that names none.
        now: seconds since the epoch.
        latest_s: seconds from now until the latest ETA that is allowed.
    """
    if value is None:
        return None
    try:
        due = _seconds(value, zone)
    except ValueError as error:
        return f"Its header 'eta' is {shown(value)}, which is no time that this worker can wait for: {shown(error)}."
    if due - now > latest_s:
        return (
            f"Its header 'eta' is {shown(value)}, which is later than the {latest_s / 86_400:g} days from now "
            "that proj_latest_eta_s allows."
        )
    return None


def expires_fault(value: object, *, zone: tzinfo) -> str | None:
    """Why the header `expires` is not a time, or None."""
    if value is None:
        return None
    try:
        _seconds(value, zone)
    except ValueError as error:
        return f"Its header 'expires' is {shown(value)}, which is no time: {shown(error)}."
    return None


def _seconds(value: object, zone: tzinfo) -> float:
    """The time in seconds since the epoch.

    Raises:
        ValueError: it is no time; a parser raises anything.
    """
    try:
        return _converted(value, zone)
    except Exception as error:
        raise ValueError(shown(error)) from error


def _converted(value: object, zone: tzinfo) -> float:
    """The same, as `celery.worker.request` and `celery.worker.strategy` convert it."""
    moment = maybe_iso8601(value) if isinstance(value, (str, datetime)) else None
    if moment is None:
        raise TypeError("it is neither a time nor an ISO 8601 text")
    aware = maybe_make_aware(moment, zone)
    # The worker's timer converts it so. The result is on another clock, but the errors are the same.
    to_timestamp(aware)
    to_timestamp(timezone.to_system(aware))
    return float(aware.timestamp())
