"""Negative acknowledgement: gives messages back to their queues, which py-amqp has no method for.

RabbitMQ 4.3 and later count a message that was rejected, or that a closed channel returned, toward the delivery limit
of a quorum queue. They do not count one that was given back by `basic.nack`. Earlier versions count every return.
Source: https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqp import spec

if TYPE_CHECKING:
    from amqp import Channel

#: AMQP's delivery tag for all messages that are not settled.
_ALL = 0


def give_back(channel: Channel, delivery_tag: int) -> None:
    """Put the message back into its queue, to be delivered again."""
    _nack(channel, delivery_tag, multiple=False)


def give_all_back(channel: Channel) -> None:
    """Put every message of the channel that is not settled back into its queue.

    Source: https://www.rabbitmq.com/amqp-0-9-1-reference#basic.nack.delivery-tag
    """
    _nack(channel, _ALL, multiple=True)


def _nack(channel: Channel, delivery_tag: int, *, multiple: bool) -> None:
    # Delivery tag, multiple, requeue.
    channel.send_method(spec.Basic.Nack, "Lbb", (delivery_tag, multiple, True))
