"""Does RabbitMQ count a message that was on its way to a consumer when that was cancelled?

    python bench/cancelled.py [VERSION...]

A client consumes 20,000 messages of a quorum queue with a prefetch count of 50, and cancels its consumer after each 33,
again and again. It acknowledges everything that it gets, at once, or nothing more in the 20 ms before it cancels.
Printed is how many messages had, when they came for the first time, which `x-delivery-count`; only those that were
marked as redelivered.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import suppress
from itertools import product
from typing import Any

import amqp

from proj.lab.broker import Broker
from proj.lab.definitions import USER
from proj.lab.processes.guard import Guard

MESSAGES, PREFETCH, BATCH = 20_000, 50, 33
#: Seconds in which the next message must come, and in which what follows a cancellation comes.
TIMEOUT_S, AFTER_S = 10.0, 0.005
#: Seconds before a cancellation in which nothing is acknowledged.
QUIET_S = (0.0, 0.02)


def counts(channel: amqp.Channel, quiet_s: float) -> Counter[int]:
    """How often each count was seen with a message that had never come before."""
    seen: set[str] = set()
    found: Counter[int] = Counter()
    kept: list[int] = []
    is_quiet = False

    def drain(seconds: float) -> None:
        """Receive until nothing comes for so long."""
        with suppress(TimeoutError):
            while True:
                channel.connection.drain_events(timeout=seconds)

    def receive(message: Any) -> None:  # noqa: ANN401 its fields are never None here
        if message.message_id not in seen and message.delivery_info["redelivered"]:
            found[(message.headers or {}).get("x-delivery-count", 0)] += 1
        seen.add(message.message_id)
        if is_quiet:
            kept.append(message.delivery_tag)
        else:
            channel.basic_ack(message.delivery_tag)

    while len(seen) < MESSAGES:
        channel.basic_qos(0, PREFETCH, a_global=False)
        tag = channel.basic_consume("work", callback=receive)
        enough = min(MESSAGES, len(seen) + BATCH)
        while len(seen) < enough:
            channel.connection.drain_events(timeout=TIMEOUT_S)
        is_quiet = quiet_s > 0
        if is_quiet:
            drain(quiet_s)
        channel.basic_cancel(tag)
        is_quiet = False
        for delivery_tag in kept:
            channel.basic_ack(delivery_tag)
        kept.clear()
        drain(AFTER_S)
    return found


def main(versions: list[str]) -> None:
    """Print a line for each RabbitMQ; without versions for the machine's own."""
    chosen: list[str | None] = [*versions]
    for version, quiet_s in product(chosen or [None], QUIET_S):
        with Guard() as guard, Broker(guard, version=version) as broker:
            address = f"127.0.0.1:{broker.port}"
            with amqp.Connection(address, userid=USER, password=broker.password) as connection:
                channel = connection.channel()
                arguments = {"x-queue-type": "quorum"}
                channel.queue_declare("work", durable=True, auto_delete=False, arguments=arguments)
                for number in range(MESSAGES):
                    message = amqp.Message(b"", delivery_mode=2, message_id=str(number))
                    channel.basic_publish(message, routing_key="work")
                found = counts(channel, quiet_s)
            said = ", ".join(f"{found[key]} with {key}" for key in sorted(found)) or "none"
            print(f"RabbitMQ {broker.version}, quiet for {quiet_s * 1000:.0f} ms: {said}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
