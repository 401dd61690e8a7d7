"""The deadline of a publish: how long it is tried again, and the error when it is over."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from amqp.exceptions import MessageNacked

from proj.broker.connection import failures
from proj.delivery.broker_errors import CRASH_PAUSE_S, MOST_CRASHES, crashing, final_error, is_crash, queue_full
from proj.errors import ProjError, Unconfirmed
from proj.interruption import raise_if_interrupted
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu import Connection

    from proj.delivery.publishing.retry_policy import RetryPolicy
    from proj.errors import QueueFull

T = TypeVar("T")
#: Seconds between two attempts. The first pause is short, because most failures are; later ones spare the broker.
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0


class Deadline:
    """A deadline, and pauses between attempts that grow and never pass it."""

    def __init__(self, timeout_s: float | None) -> None:
        """Start now; `timeout_s` of None never ends."""
        self.timeout_s = timeout_s
        self.restart()

    def restart(self) -> None:
        """Start again from now."""
        self._end = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        self._pause_s = FIRST_PAUSE_S

    def extend(self, seconds: float) -> None:
        """Move the deadline by `seconds`."""
        if self._end is not None:
            self._end += seconds

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; None when there is none."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.left_s == 0.0

    def next_pause_s(self) -> float:
        """Seconds to wait before the next attempt, at most until the deadline."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LAST_PAUSE_S)
        left_s = self.left_s
        return pause_s if left_s is None else min(pause_s, left_s)

    def pause(self, at_least_s: float = 0.0) -> None:
        """Wait before the next attempt; a signal to a command of ours ends the wait."""
        raise_if_interrupted()
        time.sleep(max(at_least_s, self.next_pause_s()))


@dataclass
class PublishOperation:
    """One publish with all its attempts, from the first declaration to the confirm."""

    #: What is published, as it stands in an error's sentence: "task 5f2a…".
    subject: str
    task_id: str
    deadline: Deadline
    #: Whether a message that reaches no queue is an error.
    mandatory: bool
    #: Seconds for which a full queue is tried; None is until the deadline.
    full_timeout_s: float | None = None
    #: What the app or the caller has chosen instead of trying until the deadline.
    policy: RetryPolicy | None = None
    #: Whether anything is tried again at all.
    retry: bool = True
    #: Attempts that failed, with those to connect and to declare.
    failures: int = 0
    #: Monotonic time of the first nack; None before it.
    nacked_since: float | None = None
    #: Whether an attempt ended without an answer. The broker may then have the message, whatever it answers later.
    doubtful: bool = False
    #: How often the broker closed the connection with an internal error.
    crashed: int = 0
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
            attempt: makes one attempt, and sets `written` when it has written the message.
            connection: the connection whose failures are retried.
            recover: called after each failure but a nack, which leaves the connection as it is.
            retry: whether a failed attempt is repeated at all.

        Raises:
            PublishRefused: another attempt would fail in the same way; `QueueFull` when a later one may succeed.
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
        self.failures += 1
        self.crashed += is_crash(error)
        final = crashing(error, self.subject) if self.crashed >= MOST_CRASHES else final_error(error, self.subject)
        if final is not None:
            raise final from error
        if not isinstance(error, MessageNacked):
            self.doubtful = self.doubtful or self.written
        elif self.nacked_since is None:
            self.nacked_since = time.monotonic()
        full_left_s = self._full_left_s
        if self.deadline.has_passed or not (retry and self._may_retry) or full_left_s == 0.0:
            raise self._given_up(error) from error
        raise_if_interrupted()
        pause_s = self._pause_s(error)
        time.sleep(pause_s if full_left_s is None else min(pause_s, full_left_s))

    @property
    def may_change_nodes(self) -> bool:
        """Whether an attempt that is not confirmed for long may end, so that the next one goes to another node."""
        return self.retry and self.policy is None and not self.doubtful

    @property
    def _may_retry(self) -> bool:
        return self.retry and (self.policy is None or self.policy.allows(self.failures))

    def _pause_s(self, error: Exception) -> float:
        if self.policy is None:
            return max(CRASH_PAUSE_S if is_crash(error) else 0.0, self.deadline.next_pause_s())
        pause_s, left_s = self.policy.pause_s(self.failures), self.deadline.left_s
        return pause_s if left_s is None else min(pause_s, left_s)

    @property
    def _full_left_s(self) -> float | None:
        """Seconds for which a full queue is still tried; None is until the deadline, as for a doubtful message."""
        if self.full_timeout_s is None or self.nacked_since is None or self.doubtful:
            return None
        if self.policy is not None and self.policy.max_retries is not None:
            return None
        return max(0.0, self.nacked_since + self.full_timeout_s - time.monotonic())

    def _given_up(self, error: Exception) -> QueueFull | Unconfirmed:
        if isinstance(error, MessageNacked) and self.nacked_since is not None and not self.doubtful:
            tried_s = time.monotonic() - self.nacked_since
            return queue_full(self.subject, str(error), tried_s=tried_s, task_ids=(self.task_id,))
        return self.unconfirmed(error)

    def unconfirmed(self, error: Exception) -> Unconfirmed:
        """The error for a message that the broker may have or not."""
        within = f" within {self.deadline.timeout_s:g} s" if self.deadline.has_passed else ""
        if not within and self.policy is not None:
            within = f" in {counted(self.failures, 'attempt', 'attempts')}, as its retry policy says"
        return Unconfirmed(
            f"RabbitMQ did not confirm {self.subject}{within} ({error_text(error)}). "
            "It may or may not have accepted it: if you publish it again, it may be there twice.",
            (self.task_id,),
        )


def no_free_producer(operation: PublishOperation, limit: int | None) -> Unconfirmed:
    """The error when all producers of this process were in use until the deadline."""
    return Unconfirmed(
        f"No producer was free to publish {operation.subject}: all {limit} producers of this process were in use for "
        f"{operation.deadline.timeout_s:g} s. Raise broker_pool_limit, or publish from fewer threads.",
        (operation.task_id,),
    )


def error_text(error: BaseException) -> str:
    """The text of the error, or its type where it has none."""
    return str(error) or type(error).__name__


_current: ContextVar[PublishOperation | None] = ContextVar("proj_publish_operation", default=None)


def current_operation() -> PublishOperation | None:
    """The publish operation of this thread."""
    return _current.get()


@contextmanager
def publishing(operation: PublishOperation) -> Iterator[PublishOperation]:
    """Make everything that is published in the block part of the operation, with its deadline."""
    token = _current.set(operation)
    try:
        yield operation
    finally:
        _current.reset(token)
