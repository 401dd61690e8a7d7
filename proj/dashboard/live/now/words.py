"""Words: names, numbers and times as a sentence has them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from proj.plural import counted
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names that a sentence has.
MOST_NAMES = 3
_WINDOWS = {60: "the last minute", 300: "the last 5 minutes", 900: "the last 15 minutes", 3600: "the last hour"}
MINUTE_S, HOUR_S = 60.0, 3600.0
#: From this on, seconds are told without a decimal.
ROUND_S = 2.0
#: Above this, a rate is told without a decimal.
LARGE_RATE = 20.0


def during(window_s: int | None) -> str:
    """The window, such as "in the last minute"."""
    return "in " + _WINDOWS.get(window_s or 0, "all that is known")


def short_names(names: Sequence[str]) -> dict[str, str]:
    """What a sentence calls each worker: the part before the @ where it is unique among them, else its whole name."""
    parts = [name.partition("@")[0] for name in names]
    return {
        name: printable(part if part and parts.count(part) == 1 else name)
        for name, part in zip(names, parts, strict=True)
    }


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MOST_NAMES
    if more > 0:
        return f"{', '.join(names[:MOST_NAMES])} and {more} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def seconds(value: float) -> str:
    """A duration: in seconds up to two minutes, then in minutes, then in hours."""
    if value < 2 * MINUTE_S:
        return f"{value:.0f} s" if value >= ROUND_S else f"{value:.1f} s"
    return f"{value / MINUTE_S:.0f} min" if value < 2 * HOUR_S else f"{value / HOUR_S:.1f} h"


def rate(value: float) -> str:
    """A number a second."""
    return f"{value:,.0f}" if value >= LARGE_RATE else f"{value:.1f}"


def clock(time: float) -> str:
    """The time of the day in UTC."""
    return datetime.fromtimestamp(time, tz=timezone.utc).strftime("%H:%M:%S UTC")


def tasks(count: int) -> str:
    """A number of tasks."""
    return counted(count, "task")


def messages(count: int) -> str:
    """A number of messages."""
    return counted(count, "message")


def is_or_are(count: int) -> str:
    """The verb."""
    return "is" if count == 1 else "are"


def s(count: int) -> str:
    """The ending of a verb: 1 message waits, 2 messages wait."""
    return "s" if count == 1 else ""
