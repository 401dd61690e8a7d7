"""Times and durations as people read them."""

from __future__ import annotations

from datetime import datetime, timezone

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S


def utc(seconds: float | None, *, unknown: str) -> str:
    """Seconds since the epoch as date and time in UTC; `unknown` where they are not known, or no such time exists."""
    if seconds is None:
        return unknown
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # anyone can send any number
        return unknown


def format_duration(seconds: float) -> str:
    """The duration in the unit that leaves two or three digits."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    if seconds < 2 * DAY_S:
        return f"{seconds / HOUR_S:.0f} h"
    return f"{seconds / DAY_S:.0f} days"
