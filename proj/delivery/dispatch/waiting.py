"""Messages that wait in front of the pool, for the worker's loop and for threads that go on by themselves."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.consuming.receiving import KeptMessage


class Waiting:
    """The messages of one worker that have no slot yet; each is taken once, by whichever thread."""

    def __init__(self) -> None:
        """Begin without any."""
        #: With the time of their arrival, the oldest first.
        self._held: deque[tuple[KeptMessage, float]] = deque()
        #: Those of queues that no other worker consumes, which are never given back.
        self._own: deque[KeptMessage] = deque()
        # A signal handler that shuts the worker down may interrupt the main thread in it.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held) + len(self._own)

    def add(self, message: KeptMessage, arrived: float) -> None:
        """Add a message that arrived at that time."""
        self._held.append((message, arrived))

    def add_own(self, message: KeptMessage) -> None:
        """Add a message that is never given back."""
        self._own.append(message)

    def take(self, may_run: Callable[[KeptMessage], bool] | None = None) -> KeptMessage | None:
        """Take the next one, the worker's own first; None when there is none, or `may_run` refuses it."""
        with self._lock:
            if not len(self):
                return None
            message = self._own[0] if self._own else self._held[0][0]
            if may_run is not None and not may_run(message):
                return None
            if self._own:
                self._own.popleft()
            else:
                self._held.popleft()
            return message

    def take_held(self, may_run: Callable[[KeptMessage], bool]) -> tuple[KeptMessage, float] | None:
        """Take the next one with the time of its arrival; None when there is none, it is an own one, or is refused."""
        with self._lock:
            if self._own or not self._held or not may_run(self._held[0][0]):
                return None
            return self._held.popleft()

    def take_all(self, queue: str | None = None) -> list[KeptMessage]:
        """Take all that may be given back; of a queue that is paused all that wait."""
        with self._lock:
            if queue is None:
                held, self._held = self._held, deque()
                return [message for message, _arrived in held]
            taken = [message for message in (*self._own, *(held for held, _ in self._held)) if _is_of(message, queue)]
            self._own = deque(message for message in self._own if not _is_of(message, queue))
            self._held = deque(each for each in self._held if not _is_of(each[0], queue))
            return taken

    def clear(self) -> list[KeptMessage]:
        """Take all, the worker's own too."""
        with self._lock:
            own, self._own = self._own, deque()
        return [*own, *self.take_all()]

    @property
    def since(self) -> float | None:
        """When the oldest one arrived that may be given back; None when there is none."""
        with self._lock:
            return self._held[0][1] if self._held else None


def _is_of(message: KeptMessage, queue: str) -> bool:
    return message.delivery.home == queue
