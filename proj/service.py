"""Services: objects with a start and a stop, for a `with` block; and waiting for an event."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from proj.interruption import raise_if_interrupted

if TYPE_CHECKING:
    import threading
    from types import TracebackType

    from typing_extensions import Self

#: Seconds between two checks of an event.
CHECK_INTERVAL_S = 0.02


class Service(ABC):
    """Starts when the block is entered; stops when the block is left, and when the start fails."""

    @abstractmethod
    def start(self) -> None:
        """Start, and return when it is ready."""

    @abstractmethod
    def stop(self) -> None:
        """Stop; safe to call twice and before `start`."""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def await_event(event: threading.Event, timeout_s: float = math.inf) -> bool:
    """Wait until another thread sets the event, and return whether it did within `timeout_s`.

    It does not call the event's own `wait`: a signal could not end that one, and an exception raised in it may keep the
    event's lock locked (cpython#74174), so that the other thread could never set the event.

    Raises:
        KeyboardInterrupt: a signal asked the command to end.
    """
    end = time.monotonic() + timeout_s
    while not event.is_set():
        raise_if_interrupted()
        if time.monotonic() >= end:
            return False
        time.sleep(CHECK_INTERVAL_S)
    return True
