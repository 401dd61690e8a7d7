"""Waits for a condition, with a deadline, until a signal ends the command."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from proj.errors import DeadlinePassed
from proj.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Seconds between two checks of the condition.
POLL_INTERVAL_S = 0.05


def wait_until(condition: Callable[[], T], *, what: str, timeout_s: float) -> T:
    """The first true value that `condition` returns.

    Raises:
        DeadlinePassed: there was none within `timeout_s`; the error says `what` was awaited.
        KeyboardInterrupt: a signal asked the command to end.
    """
    end = time.monotonic() + timeout_s
    while True:
        raise_if_interrupted()
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise DeadlinePassed(what, timeout_s)
        time.sleep(POLL_INTERVAL_S)
