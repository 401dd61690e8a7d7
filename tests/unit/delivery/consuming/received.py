"""Messages as a worker's channel receives them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amqp.basic_message import Message

from proj.broker.version import BrokerVersion
from proj.delivery.consuming.receiving import Delivery, KeptMessage
from proj.delivery.consuming.redeliveries import history


def received(
    body: bytes | str = b"body",
    *,
    queue: str = "q",
    exchange: str = "tasks",
    routing_key: str = "task_queue.high",
    redelivered: bool = False,
    largest_bytes: int = 1000,
    **properties: Any,
) -> KeptMessage:
    """A message with a channel that is open and notes what it is asked to settle in `settled`."""
    raw = Message(body, **properties)
    raw.delivery_info = {
        "delivery_tag": 7,
        "consumer_tag": "tag",
        "redelivered": redelivered,
        "exchange": exchange,
        "routing_key": routing_key,
    }
    settled: list[tuple[str, int, bool]] = []
    channel: Any = SimpleNamespace(
        is_open=True,
        no_ack_consumers=None,
        settled=settled,
        basic_ack=lambda tag, multiple=False: settled.append(("ack", tag, multiple)),
        basic_reject=lambda tag, requeue: settled.append(("reject", tag, requeue)),
    )
    disposition: Any = None
    message = KeptMessage(raw, channel=channel, disposition=disposition, unsettled={}, largest_bytes=largest_bytes)
    message.delivery = Delivery(
        queue=queue,
        history=history(message.headers, redelivered=redelivered, version=BrokerVersion(4, 3)),
        contents=None,
        refusal=None,
    )
    return message
