"""A bare consumer with pika: python -m dispatch.pika_loop URL QUEUE PREFETCH QUEUE_TYPE."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pika

from dispatch.mark import write_mark

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic, BasicProperties

#: A message that is a mark begins so; its folder and its name follow.
MARK = b"mark\0"


def work(channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
    """Do nothing, and acknowledge."""
    if body.startswith(MARK):
        folder, which = body.removeprefix(MARK).decode().split("\0")
        write_mark(folder, which)
    channel.basic_ack(method.delivery_tag)


def main() -> None:
    """Declare the queue, and consume until a signal ends the process."""
    url, queue, prefetch, queue_type = sys.argv[1:]
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": queue_type})
    channel.basic_qos(prefetch_count=int(prefetch))
    channel.basic_consume(queue, work)
    channel.start_consuming()


if __name__ == "__main__":
    main()
