"""One sending: what is being sent, and how long it may take until the broker has confirmed it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.delivery.refusal import refusal
from proj.errors import Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds between two attempts: first soon, for most breaks are short; then seldom enough to be no load.
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0


class Patience:
    """A deadline, and pauses that grow up to it."""

    def __init__(self, timeout_s: float | None) -> None:
        """Begin now; None is for ever."""
        self.timeout_s = timeout_s
        self.renew()

    def renew(self) -> None:
        """Begin anew: something came of it."""
        self._end = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        self._pause_s = FIRST_PAUSE_S

    def extend(self, seconds: float) -> None:
        """Move the deadline by so much."""
        if self._end is not None:
            self._end += seconds

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, 0 when it is over; None is for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left_s == 0.0

    def next_pause_s(self) -> float:
        """Seconds to wait before the next attempt, never beyond the deadline."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LAST_PAUSE_S)
        left_s = self.left_s
        return pause_s if left_s is None else min(pause_s, left_s)

    def pause(self) -> None:
        """Wait before the next attempt."""
        time.sleep(self.next_pause_s())


@dataclass
class Sending:
    """What is being sent now by this thread."""

    #: It as an error's sentence names it, such as "Task 5f2a…".
    what: str
    task_id: str
    patience: Patience
    #: Whether it is an error that no queue takes it.
    mandatory: bool

    def again_after(self, error: Exception, *, retry: bool = True) -> None:
        """Wait until it is worth another attempt; without `retry` nothing is.

        Raises:
            PublishRefused: another attempt would fail alike.
            Unconfirmed: the deadline has passed.
        """
        refused = refusal(error, self.what)
        if refused is not None:
            raise refused from error
        if self.patience.is_over or not retry:
            raise self.unconfirmed(error) from error
        self.patience.pause()

    def unconfirmed(self, error: Exception) -> Unconfirmed:
        """The error that says that nobody knows."""
        within = f" within {self.patience.timeout_s:g} s" if self.patience.is_over else ""
        return Unconfirmed(
            f"{self.what} may or may not have been accepted: the broker did not confirm it{within} ({reason(error)}).",
            (self.task_id,),
        )


def unavailable(one: Sending, limit: int) -> Unconfirmed:
    """The error that says that all publishers of this process were busy until the deadline."""
    return Unconfirmed(
        f"{one.what} was not sent: all {limit} publishers of this process were in use "
        f"for {one.patience.timeout_s:g} s. Raise broker_pool_limit, or have fewer threads publish.",
        (one.task_id,),
    )


def reason(error: BaseException) -> str:
    """What went wrong in words, also where the library has none."""
    return str(error) or type(error).__name__


_now: ContextVar[Sending | None] = ContextVar("proj_sending", default=None)


def current() -> Sending | None:
    """What this thread is sending."""
    return _now.get()


@contextmanager
def sending(one: Sending) -> Iterator[Sending]:
    """Everything that is published within is part of it, and shares its deadline."""
    token = _now.set(one)
    try:
        yield one
    finally:
        _now.reset(token)
