"""The next look: one timer of the worker's loop, which is set to the earliest time that was asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous.timer import Entry, Timer


class NextLook:
    """When a dispatcher looks at its messages again."""

    def __init__(
        self,
        timer: Timer,
        look: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `look` by `timer`; `clock` tells the time in seconds."""
        self._timer = timer
        self._look = look
        self._clock = clock
        self._entry: Entry | None = None
        self._due = 0.0

    def begin(self) -> None:
        """Begin anew with a new connection: the timer of the last one may be lost with it."""
        self._entry = None

    def within(self, seconds: float) -> None:
        """Look in so many seconds, or earlier."""
        due = self._clock() + seconds
        if self._entry is not None:
            if self._due <= due:
                return
            self._entry.cancel()
        self._due = due
        self._entry = self._timer.call_after(seconds, self._now)

    def _now(self) -> None:
        self._entry = None
        self._look()
