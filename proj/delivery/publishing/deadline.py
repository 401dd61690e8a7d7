"""One sending: what is being sent, and how long it may take until the broker has confirmed it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from amqp.exceptions import MessageNacked

from proj.broker.connection import failures
from proj.delivery.broker_errors import queue_full, refusal
from proj.errors import ProjError, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Connection

    from proj.errors import QueueFull

T = TypeVar("T")

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
    #: How many seconds a full queue is tried, of those that the patience has; None is all of them.
    full_timeout_s: float | None = None
    #: Since when the broker has refused it with nacks, by the monotonic clock; None when it has not.
    refused_since: float | None = None
    #: Whether an attempt ended without an answer, so that the broker may have it whatever it says to later ones.
    doubtful: bool = False
    #: Whether the current attempt has written the message.
    written: bool = False

    def until_done(
        self,
        attempt: Callable[[], T],
        connection: Connection,
        *,
        recover: Callable[[], None] | None = None,
        retry: bool = True,
    ) -> T:
        """Return what `attempt` returns, tried again while the broker or the connection fails.

        Args:
            attempt: one attempt; it sets `written` when it has written the message.
            connection: whose failures are tried again.
            recover: called after each failure but a nack, which leaves the connection as it is.
            retry: whether a failed attempt is repeated at all.

        Raises:
            PublishRefused: another attempt would fail alike; `QueueFull` when a later one may not.
            Unconfirmed: the deadline has passed.
        """
        while True:
            self.written = False
            try:
                return attempt()
            except failures(connection) as error:
                if isinstance(error, ProjError):
                    raise
                if recover is not None and not isinstance(error, MessageNacked):
                    recover()
                self._wait_after(error, retry=retry)

    def _wait_after(self, error: Exception, *, retry: bool) -> None:
        refused = refusal(error, self.what)
        if refused is not None:
            raise refused from error
        if not isinstance(error, MessageNacked):
            self.doubtful = self.doubtful or self.written
        elif self.refused_since is None:
            self.refused_since = time.monotonic()
        full_left_s = self._full_left_s
        if self.patience.is_over or not retry or full_left_s == 0.0:
            raise self._given_up(error) from error
        pause_s = self.patience.next_pause_s()
        time.sleep(pause_s if full_left_s is None else min(pause_s, full_left_s))

    @property
    def _full_left_s(self) -> float | None:
        """Seconds for which a full queue is tried still; None is as long as all else, and when there was a doubt."""
        if self.full_timeout_s is None or self.refused_since is None or self.doubtful:
            return None
        return max(0.0, self.refused_since + self.full_timeout_s - time.monotonic())

    def _given_up(self, error: Exception) -> QueueFull | Unconfirmed:
        if isinstance(error, MessageNacked) and self.refused_since is not None and not self.doubtful:
            tried_s = time.monotonic() - self.refused_since
            return queue_full(self.what, str(error), tried_s=tried_s, task_ids=(self.task_id,))
        return self.unconfirmed(error)

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
