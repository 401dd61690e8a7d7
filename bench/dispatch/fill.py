"""Fills a queue with the messages of one measurement, as fast as they can be written."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from amqp import Message
from kombu import Connection
from kombu.serialization import dumps

from dispatch import stock
from dispatch.mark import BEGIN, END
from dispatch.row import BARE, CELERY, DRAMATIQ
from proj.broker.connection import TRANSPORT_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dispatch.row import Row

#: RabbitMQ writes the message to disk, as Celery and dramatiq ask it to unless they are told otherwise.
PERSISTENT = 2
#: Seconds until the broker must have confirmed one more message.
CONFIRM_TIMEOUT_S = 30
#: Messages that are not confirmed yet.
MOST_OPEN = 300


def fill(url: str, row: Row, folder: Path, *, warm_up: int, tasks: int) -> None:
    """Publish tasks for the warm-up, a mark, the tasks that are measured, and another mark."""
    with Connection(url, transport_options=TRANSPORT_OPTIONS) as connection:
        reply_to = _reply_queue(connection) if row.results else None
        write = WRITERS[row.messages]
        bodies = [
            *(write("bench.nothing", (), reply_to) for _ in range(warm_up)),
            write("bench.mark", (str(folder), BEGIN), None),
            *(write("bench.nothing", (), reply_to) for _ in range(tasks)),
            write("bench.mark", (str(folder), END), None),
        ]
        _publish(connection, row.queue, bodies)


def _publish(connection: Connection, queue: str, bodies: list[Message]) -> None:
    """Publish all, and return when the broker has confirmed each."""
    # The stub has the base class of all transports.
    channel: Any = connection.channel()
    open_tags: set[int] = set()

    def confirmed(tag: int, multiple: bool) -> None:  # noqa: FBT001 py-amqp calls it so
        open_tags.difference_update([one for one in open_tags if one <= tag] if multiple else (tag,))

    channel.confirm_select()
    channel.events["basic_ack"].add(confirmed)
    for tag, body in enumerate(bodies, start=1):
        open_tags.add(tag)
        channel.basic_publish(body, exchange="", routing_key=queue)
        while len(open_tags) >= MOST_OPEN or (tag == len(bodies) and open_tags):
            connection.drain_events(timeout=CONFIRM_TIMEOUT_S)


def _celery(task: str, args: tuple[str, ...], reply_to: str | None) -> Message:
    task_id = str(uuid.uuid4())
    message = stock.default.amqp.as_task_v2(
        task_id, task, args, {}, reply_to=reply_to, ignore_result=reply_to is None, create_sent_event=False
    )
    content_type, encoding, body = dumps(message.body, "json")
    properties = {name: value for name, value in message.properties.items() if value}
    return Message(
        body,
        content_type=content_type,
        content_encoding=encoding,
        delivery_mode=PERSISTENT,
        application_headers=message.headers,
        **properties,
    )


def _dramatiq(task: str, args: tuple[str, ...], _: str | None) -> Message:
    content = {
        "queue_name": "default",
        "actor_name": task.removeprefix("bench."),
        "args": args,
        "kwargs": {},
        "options": {},
        "message_id": str(uuid.uuid4()),
        "message_timestamp": int(time.time() * 1000),
    }
    return Message(json.dumps(content, separators=(",", ":")), delivery_mode=PERSISTENT)


def _bare(_: str, args: tuple[str, ...], __: str | None) -> Message:
    return Message("\0".join(("mark", *args)) if args else "hello", delivery_mode=PERSISTENT)


WRITERS: dict[str, Callable[[str, tuple[str, ...], str | None], Message]] = {
    CELERY: _celery,
    DRAMATIQ: _dramatiq,
    BARE: _bare,
}


def _reply_queue(connection: Connection) -> str:
    """A queue for results, declared as Celery's client declares it, which nobody reads."""
    queue = stock.rpc.backend.binding(connection.channel())
    queue.declare()
    return str(queue.name)
