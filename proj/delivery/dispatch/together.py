"""Together: does at the end of a turn of the worker's loop, or a little later, what costs less for several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vine import promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous import Hub


class Together:
    """Lets things wait for others, and writes all of them when they are enough or the first has waited for long."""

    def __init__(
        self,
        hub: Hub,
        write: Callable[[], object],
        *,
        longest_s: float,
        is_enough: Callable[[], bool],
    ) -> None:
        """Call `write` in the loop `hub`.

        Args:
            hub: the worker's loop.
            write: what writes all that waits.
            longest_s: the seconds that the first may wait.
            is_enough: whether to write in this turn of the loop; called from any thread.
        """
        self._hub = hub
        self._write = write
        self._longest_s = longest_s
        self._is_enough = is_enough
        #: Whether the loop will look, now or when the timer is due.
        self._is_planned = False
        self._timer_is_set = False
        # Reused, so that the loop has it only once.
        self._turn = promise(self._on_turn)

    def begin(self) -> None:
        """Begin anew with a new connection: the timer of the last one may be lost with it."""
        self._is_planned = self._timer_is_set = False

    def plan(self) -> None:
        """Write soon what was added before this call; from any thread. To wake the loop costs as much as a task."""
        if not self._is_planned or self._is_enough():
            self._is_planned = True
            self._hub.call_soon(self._turn)

    def _on_turn(self) -> None:
        if self._is_enough():
            self._write_now()
        elif not self._timer_is_set:
            self._timer_is_set = True
            self._hub.call_later(self._longest_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_is_set = False
        self._write_now()

    def _write_now(self) -> None:
        # Before it, so that what it does not take any more is planned anew.
        self._is_planned = False
        self._write()
