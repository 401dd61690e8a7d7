"""Services: what has a start and a stop, and can be used in a `with` block."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from types import TracebackType

    from typing_extensions import Self

#: Seconds between two looks at what a thread has set.
LOOK_S = 0.02


class Service(ABC):
    """Started on entry and stopped on exit, and also when its start fails."""

    @abstractmethod
    def start(self) -> None:
        """Begin, and return when it serves."""

    @abstractmethod
    def stop(self) -> None:
        """End; safe to call twice, and before `start`."""

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
    """Wait, in a thread that an interruption may hit at any point, until another sets the event; whether it did.

    The event's own `wait` takes its lock. Interrupted in just that moment, it keeps it (cpython#74174), and the other
    thread waits for ever to set the event.
    """
    end = time.monotonic() + timeout_s
    while not event.is_set():
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_S)
    return True
