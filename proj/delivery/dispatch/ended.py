"""Tasks that ended where the worker's loop was not told: in threads of the pool, or with their process."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from celery.worker import state

from proj.delivery.dispatch.together import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu.asynchronous import Hub

    from proj.delivery.consuming.receiving import KeptMessage

#: Tasks of which the loop learns together, and seconds that it may not know of one whose thread has gone on by itself.
TOGETHER = 32
LONGEST_S = 0.005


class Ended(NamedTuple):
    """A task that has left its slot, outside the loop's thread."""

    message: KeptMessage
    #: When it did.
    at: float
    #: What its thread runs next; None when the slot is free.
    next: KeptMessage | None


class EndedTasks:
    """Those of one worker; threads add, and the loop takes."""

    def __init__(
        self,
        hub: Hub,
        learn: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `learn` in the loop `hub`; `clock` tells the time in seconds."""
        self._clock = clock
        self._ended: deque[Ended] = deque()
        self._together = Together(hub, learn, longest_s=LONGEST_S, is_enough=self._are_enough)
        self._has_free_slot = False

    def begin(self) -> None:
        """Begin anew with a new connection."""
        self._together.begin()

    def add(self, message: KeptMessage, following: KeptMessage | None) -> None:
        """The message's task has ended, and its thread goes on with `following`; from any thread."""
        self._ended.append(Ended(message, self._clock(), following))
        if following is None:
            # The loop has to fill it.
            self._has_free_slot = True
        self._together.plan()

    def __iter__(self) -> Iterator[Ended]:
        """Take all of them."""
        self._has_free_slot = False
        while self._ended:
            yield self._ended.popleft()

    def _are_enough(self) -> bool:
        return self._has_free_slot or len(self._ended) >= TOGETHER


def is_gone(message: KeptMessage) -> bool:
    """Whether a pool process began the task, and Celery does not know it any more."""
    request = message.request
    return request is not None and request.time_start is not None and request not in state.active_requests
