"""Times as people read them."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(seconds: float | None, *, unknown: str) -> str:
    """Seconds since the epoch as date and time in UTC; `unknown` where they are not known, or no such time exists."""
    if seconds is None:
        return unknown
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # anyone can send any number
        return unknown
