"""The connections of one consumer: one after the other, until it is told to stop."""

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
    """Connects to one queue again and again, and says so when it could not, and when it could again."""

    def __init__(
        self,
        make: Callable[[], Subscription],
        *,
        name: str,
        held: list[Subscription],
        pause: Callable[[float], bool],
    ) -> None:
        """Connect what `make` makes.

        Args:
            make: a subscription that is not open.
            name: of the queue.
            held: has the subscription for as long as it is there.
            pause: waits so many seconds, and says whether to go on.
        """
        self._make = make
        self._name = name
        self._held = held
        self._pause = pause
        self._deadline = Deadline(None)
        self._is_lost = False
        self._opened_again = -float("inf")

    @property
    def go_on(self) -> bool:
        """Whether it was not told to stop."""
        return self._pause(0)

    @property
    def steady_s(self) -> float:
        """Seconds since it connected again; infinite when it never had to."""
        return time.monotonic() - self._opened_again

    @contextmanager
    def next(self, *, consume: bool = True) -> Iterator[Subscription | None]:
        """A new connection, None when there is none now; when it is lost the block ends, and the next one waits.

        Raises:
            what `Subscription.open` raises, and all errors of the block that are not of a lost connection.
        """
        subscription = self._make()
        self._held.append(subscription)
        try:
            yield subscription if self._open(subscription, consume=consume) else None
        except subscription.losses as error:
            self._lose(subscription, error)
        finally:
            subscription.close()
            self._held.remove(subscription)
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
            logger.warning("Consuming from the queue %r again.", self._name)
            self._is_lost = False
            self._opened_again = time.monotonic()
        return True

    def _lose(self, subscription: Subscription, error: Exception) -> None:
        subscription.drop()
        if not self._is_lost:
            logger.warning("The queue %r cannot be consumed from (%s); trying again.", self._name, error_text(error))
        self._is_lost = True
