"""Halting by a pill: one message ends every consumer of its queue, each of which hands it on to the next.

The pill waits behind all earlier work. Who gets it takes nothing more, and gives it back to the broker, in one step
that loses and doubles nothing, as long as anyone else consumes; the last one does what follows from that, such as
sending the pill to the next queue, and takes the pill away. A pill whose consumer dies goes to another one.
"""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import TYPE_CHECKING

from proj.messaging.dead_lettering import PASSING, times_given_out
from proj.messaging.handler import LONGEST_PAUSE_S, RETRY_PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.messaging.message import Message
    from proj.messaging.reconnection import Reconnection
    from proj.messaging.subscription import Subscription

logger = logging.getLogger(__name__)

#: Deliveries after which a pill is replaced by a new one: a quorum queue drops what it has delivered too often, by
#: policy or, from RabbitMQ 4 on, after 20 times.
RENEW_AFTER = 10
#: Seconds for which a consumer that handed its pill on looks whether anyone is left: several with a pill each would
#: else take each other for the next one.
LINGER_S = 0.5
#: Seconds for which a consumer that has just lost its connection does not take itself for the last one: the others
#: may have lost theirs with it.
SETTLE_S = 3.0
#: Seconds in which the broker must say how many consume.
ANSWER_S = 15.0
LOOK_S = 0.1


class Course(Enum):
    """What to do with a pill."""

    #: To the next consumer.
    HAND_ON = "hand on"
    #: To the next consumer, as a message that was never delivered.
    RENEW = "renew"
    #: There is no next one.
    LAST = "last"


def course(*, others: int, deliveries: int) -> Course:
    """What a consumer does with the pill when so many others consume, and it was delivered so often before."""
    if others == 0:
        return Course.LAST
    return Course.RENEW if deliveries >= RENEW_AFTER else Course.HAND_ON


class Halting:
    """The end of one consumer, which outlives the connection on which the pill came."""

    def __init__(
        self,
        connections: Reconnection,
        *,
        renew: Callable[[], None],
        when_last: Callable[[], None],
        pause: Callable[[float], bool],
    ) -> None:
        """Prepare to halt.

        Args:
            connections: connects again when the pill is still to be taken away.
            renew: publishes another pill.
            when_last: what is to follow when all consumers have ended, before the pill is taken away.
            pause: waits so many seconds, and says whether to go on.
        """
        self._connections = connections
        self._renew = renew
        self._when_last = when_last
        self._pause = pause

    def end(self, subscription: Subscription, pill: Message) -> bool:
        """Take no more messages, and hand the pill on or do what follows; whether the consumer has ended.

        It has not when the connection was lost first: the pill comes again then, to this consumer or another. After
        the pill was handed on, or what follows was done, no lost connection brings the consumer back. What follows is
        tried until it passes or the consumer is to stop; then the pill stays in its queue.

        Raises:
            what `renew` and `when_last` raise that will not pass; the pill is still in the queue then.
        """
        try:
            others = self._others(subscription)
            subscription.cancel()
        except subscription.losses as error:
            subscription.lost = error
            return False
        choice = course(others=others, deliveries=times_given_out(pill))
        if choice is Course.LAST:
            self._end_all(subscription, pill)
            return True
        if choice is Course.HAND_ON:
            pill.give_back()
        elif self._insist(self._renew):
            pill.ack()
        try:
            left = self._linger(subscription, pill)
        except subscription.losses as error:
            logger.debug("The connection was lost after the pill was handed on: %r", error)
            return True
        if left is not None:
            self._end_all(subscription, left)
        return True

    def _others(self, subscription: Subscription) -> int:
        """How many others consume.

        A quorum queue whose leader does not answer within a quarter of a second is said to have no consumer at all,
        but this one still counts (rabbit_quorum_queue:stat).
        """
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            count = subscription.count().consumers
            if count > 1 or (count == 1 and self._connections.steady_s >= SETTLE_S):
                return count - 1
            time.sleep(LOOK_S)
        raise TimeoutError("the broker does not say how many consume")

    def _linger(self, subscription: Subscription, pill: Message) -> Message | None:
        """The pill, when nobody has taken it and nobody consumes any more."""
        end = time.monotonic() + LINGER_S
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            counts = subscription.count()
            # With something ready it is an answer, and not the absence of one.
            if counts.consumers == 0 and counts.ready > 0 and (found := subscription.take()) is not None:
                if found.body == pill.body:
                    return found
                found.give_back()
        return None

    def _end_all(self, subscription: Subscription, pill: Message) -> None:
        if not self._insist(self._when_last):
            return
        pill.ack()
        try:
            _clear(subscription, pill)
        except subscription.losses as error:
            logger.debug("The connection was lost before the pill was taken away: %r", error)
        else:
            return
        while self._connections.go_on:
            with self._connections.next(consume=False) as another:
                if another is not None:
                    _clear(another, pill)
                    return

    def _insist(self, act: Callable[[], None]) -> bool:
        """Try until it passes; False when it is to stop."""
        pause_s = RETRY_PAUSE_S
        while True:
            try:
                act()
            except PASSING as error:
                logger.warning("The pill waits: %s", error)
            else:
                return True
            if not self._pause(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _clear(subscription: Subscription, pill: Message) -> None:
    """Take away the pill, if a lost connection gave it back, and those directly behind it: nobody else would."""
    while (found := subscription.take_held() or subscription.take()) is not None:
        if found.body != pill.body:
            found.give_back()
            return
        found.ack()
