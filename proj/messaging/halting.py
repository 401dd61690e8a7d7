"""Halting by a pill: one message ends every consumer of its queue, each of which hands it on to the next.

The pill waits behind all earlier work. Who gets it takes nothing more, and gives it back to the broker, in one step
that loses and doubles nothing, as long as anyone else consumes; the last one does what follows from that, such as
sending the pill to the next queue, and takes the pill away. A pill whose consumer dies goes to another one.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

from proj.delivery.strikes import past

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.messaging.message import Message
    from proj.messaging.subscription import Subscription

#: Deliveries after which a pill is replaced by a new one: a quorum queue drops what it has delivered too often, by
#: policy or, from RabbitMQ 4 on, after 20 times.
RENEW_AFTER = 10
#: Seconds for which a consumer that handed its pill on looks whether anyone is left: several with a pill each would
#: else take each other for the next one.
LINGER_S = 0.5
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
    if others <= 0:
        return Course.LAST
    return Course.RENEW if deliveries >= RENEW_AFTER else Course.HAND_ON


def halt(
    subscription: Subscription, pill: Message, *, renew: Callable[[], None], when_last: Callable[[], None]
) -> None:
    """Take no more messages, and hand the pill on; call `when_last` before it is acknowledged when nobody is left.

    Args:
        subscription: of the consumer that got the pill.
        pill: what it got.
        renew: publishes another pill like it.
        when_last: what is to follow when all consumers have ended.

    Raises:
        what the subscription, `renew` and `when_last` raise; the pill is still in the queue then.
    """
    others = subscription.consumers() - 1
    subscription.cancel()
    deliveries = past(pill.headers, redelivered=pill.redelivered).vanished_here
    choice = course(others=others, deliveries=deliveries)
    if choice is Course.LAST:
        _end(subscription, pill, when_last)
        return
    if choice is Course.RENEW:
        renew()
        pill.ack()
    else:
        pill.give_back()
    end = time.monotonic() + LINGER_S
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        if subscription.consumers() == 0:
            found = subscription.take()
            if found is not None and found.body == pill.body:
                _end(subscription, found, when_last)
                return
            if found is not None:
                found.give_back()


def _end(subscription: Subscription, pill: Message, when_last: Callable[[], None]) -> None:
    """Do what follows, and take away this pill and those directly behind it, for nobody else would."""
    when_last()
    pill.ack()
    while (found := subscription.take()) is not None:
        if found.body != pill.body:
            found.give_back()
            return
        found.ack()
