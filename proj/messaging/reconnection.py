"""The connections of one consumer, one after the other, until it is told to stop."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from proj.delivery.publishing.deadline import Deadline, error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.messaging.subscription import Subscription

logger = logging.getLogger(__name__)


class Reconnection:
    """Connects a consumer to its queue again and again, and logs when a connection is lost and made again."""

    def __init__(
        self,
        make: Callable[[], Subscription],
        *,
        name: str,
        open_subscriptions: list[Subscription],
        pause: Callable[[float], bool],
    ) -> None:
        """Prepare to connect.

        Args:
            make: makes a subscription, which is not open yet.
            name: of the queue.
            open_subscriptions: contains each subscription as long as it exists.
            pause: waits so many seconds; False when the consumer is to stop.
        """
        self._make = make
        self._name = name
        self._open_subscriptions = open_subscriptions
        self._pause = pause
        # It never passes: only its pauses are used.
        self._deadline = Deadline(None)
        self._is_lost = False
        self._reconnected_at = -float("inf")

    @property
    def go_on(self) -> bool:
        """Whether the consumer was not told to stop."""
        return self._pause(0)

    @property
    def connected_for_s(self) -> float:
        """Seconds since it connected again; infinite when no connection was lost."""
        return time.monotonic() - self._reconnected_at

    @contextmanager
    def next(self, *, consume: bool = True) -> Iterator[Subscription | None]:
        """A new connection, or None when it cannot connect now. The block ends when the connection is lost.

        Raises:
            NoBroker, QueueMismatch, PublishRefused: as `Subscription.open`.
            Exception: what the block raises, but for errors of a lost connection.
        """
        subscription = self._make()
        self._open_subscriptions.append(subscription)
        try:
            yield subscription if self._open(subscription, consume=consume) else None
        except subscription.losses as error:
            self._lose(subscription, error)
        finally:
            subscription.close()
            self._open_subscriptions.remove(subscription)
        if self._is_lost:
            self._pause(self._deadline.next_pause_s())

    def _open(self, subscription: Subscription, *, consume: bool) -> bool:
        try:
            subscription.open(consume=consume)
        except subscription.losses as error:
            self._lose(subscription, error)
            return False
        self._deadline.restart()
        if self._is_lost:
            logger.warning("Connected to queue %r again.", self._name, extra={"action": "connection_restored"})
            self._is_lost = False
            self._reconnected_at = time.monotonic()
        return True

    def _lose(self, subscription: Subscription, error: Exception) -> None:
        subscription.drop()
        if not self._is_lost:
            logger.warning(
                "No connection to queue %r (%s); connecting again.",
                self._name,
                error_text(error),
                extra={"action": "connection_lost"},
            )
        self._is_lost = True
