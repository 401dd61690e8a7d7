"""The poison pill: one message that ends every consumer of its queue, each of which hands it on to the next.

The pill waits behind all earlier work. The consumer that gets it takes no more messages. While others consume, it gives
the pill back to the broker: one step, in which nothing is lost or duplicated. The last consumer does what follows, such
as sending the pill to the next queue, and acknowledges the pill. When a consumer dies with the pill, another gets it.
"""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import TYPE_CHECKING

from proj.messaging.dead_lettering import TEMPORARY_ERRORS, redelivery_count
from proj.messaging.handler import LONGEST_PAUSE_S, RETRY_PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.messaging.message import Message
    from proj.messaging.reconnection import Reconnection
    from proj.messaging.subscription import Subscription

logger = logging.getLogger(__name__)

#: Redeliveries after which a pill is replaced by a new one. A quorum queue drops a message that was delivered too
#: often: by policy, or in RabbitMQ 4 and later after 20 times.
RENEW_AFTER = 10
#: Seconds for which a consumer that has handed its pill on checks whether any other consumes. Otherwise several
#: consumers with a pill each would take each other for the next one.
LINGER_S = 0.5
#: Seconds after a lost connection in which a consumer does not take itself for the last one, because the others may
#: have lost their connections with it.
SETTLE_S = 3.0
#: Seconds in which the broker must say how many consumers there are.
ANSWER_S = 15.0
LOOK_S = 0.1


class PillAction(Enum):
    """What a consumer does with the pill."""

    #: Give it back to the broker, for the next consumer.
    HAND_ON = "hand on"
    #: Publish a new pill for the next consumer, and acknowledge this one.
    RENEW = "renew"
    #: Do what follows: there is no other consumer.
    LAST = "last"


def pill_action(*, others: int, redeliveries: int) -> PillAction:
    """What to do with a pill that was redelivered so often, while `others` other consumers are left."""
    if others == 0:
        return PillAction.LAST
    return PillAction.RENEW if redeliveries >= RENEW_AFTER else PillAction.HAND_ON


class PoisonPill:
    """Ends one consumer by the pill, also when the connection is lost on which the pill came."""

    def __init__(
        self,
        connections: Reconnection,
        *,
        renew: Callable[[], None],
        when_last: Callable[[], None],
        pause: Callable[[float], bool],
    ) -> None:
        """Prepare to end the consumer.

        Args:
            connections: connects again when the pill must still be removed from the queue.
            renew: publishes another pill.
            when_last: called by the last consumer, before it acknowledges the pill.
            pause: waits so many seconds; False when the consumer is to stop.
        """
        self._connections = connections
        self._renew = renew
        self._when_last = when_last
        self._pause = pause

    def end(self, subscription: Subscription, pill: Message) -> bool:
        """Take no more messages, and hand the pill on or do what follows; whether the consumer has ended.

        False when the connection was lost first: then the broker delivers the pill again, to this consumer or another.
        After the pill was handed on, or what follows was done, a lost connection does not bring the consumer back. What
        follows is tried until it succeeds or the consumer is told to stop; then the pill stays in its queue.

        Raises:
            Exception: what `renew` and `when_last` raise, but for temporary errors. The pill stays in its queue.
        """
        try:
            others = self._others(subscription)
            subscription.cancel()
        except subscription.losses as error:
            subscription.lost = error
            return False
        action = pill_action(others=others, redeliveries=redelivery_count(pill))
        if action is PillAction.LAST:
            self._finish(subscription, pill)
            return True
        if action is PillAction.HAND_ON:
            pill.give_back()
        elif self._retry(self._renew):
            pill.ack()
        try:
            left = self._linger(subscription, pill)
        except subscription.losses as error:
            logger.debug(
                "The connection was lost after the pill was handed on: %r", error, extra={"action": "lost_after_pill"}
            )
            return True
        if left is not None:
            self._finish(subscription, left)
        return True

    def _others(self, subscription: Subscription) -> int:
        """How many other consumers the queue has.

        RabbitMQ reports a quorum queue whose leader does not answer within a quarter of a second as a queue without
        consumers, but this consumer still counts (rabbit_quorum_queue:stat).
        """
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            count = subscription.count().consumer_count
            if count > 1 or (count == 1 and self._connections.connected_for_s >= SETTLE_S):
                return count - 1
            time.sleep(LOOK_S)
        raise TimeoutError("the broker does not say how many consumers there are")

    def _linger(self, subscription: Subscription, pill: Message) -> Message | None:
        """The pill, if no other consumer has taken it and none is left; None when another has it."""
        end = time.monotonic() + LINGER_S
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            counts = subscription.count()
            # A leader that does not answer is reported with nothing ready; with something ready it has answered.
            if counts.consumer_count == 0 and counts.message_count > 0 and (found := subscription.take()) is not None:
                if found.body == pill.body:
                    return found
                found.give_back()
        return None

    def _finish(self, subscription: Subscription, pill: Message) -> None:
        """Do what follows the last consumer, and remove the pill."""
        if not self._retry(self._when_last):
            return
        pill.ack()
        try:
            _remove_pills(subscription, pill)
        except subscription.losses as error:
            logger.debug(
                "The connection was lost before the pill was removed: %r", error, extra={"action": "lost_with_pill"}
            )
        else:
            return
        while self._connections.go_on:
            with self._connections.next(consume=False) as another:
                if another is not None:
                    _remove_pills(another, pill)
                    return

    def _retry(self, act: Callable[[], None]) -> bool:
        """Call `act` until it succeeds; False when the consumer is told to stop first."""
        pause_s = RETRY_PAUSE_S
        while True:
            try:
                act()
            except TEMPORARY_ERRORS as error:
                logger.warning("The consumer waits with its poison pill: %s", error, extra={"action": "pill_waits"})
            else:
                return True
            if not self._pause(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _remove_pills(subscription: Subscription, pill: Message) -> None:
    """Remove the pill, if a lost connection gave it back, and pills directly behind it: no consumer is left."""
    while (found := subscription.take_held() or subscription.take()) is not None:
        if found.body != pill.body:
            found.give_back()
            return
        found.ack()
