"""The client of a drill: publishes to the broker past the proxy, and reads the dead letters."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from amqp.exceptions import MessageNacked
from celery import Celery
from celery.utils import uuid
from kombu import Connection, Producer, Queue

from proj.broker.connection import connected, open_channel
from proj.broker.queue_depths import depths_by_declare
from proj.delivery.header_names import REASON
from proj.delivery.publishing.confirm_publishing import close_publishing, confirm_publishing
from proj.delivery.send_many import send_many
from proj.errors import PublishRefused
from proj.lab.drills.system.evidence import CONFIRMED, RAISED, SENDING, append
from proj.queues import DEAD_LETTERS, WORK_QUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from proj.broker.queue_depths import Depth

#: The header with the task's id, which survives in a malformed message too.
ID_HEADER = "x-drill-id"
#: The name under which the broker lists the client's connections.
CONNECTION_NAME = "drill"


class DrillClient:
    """Publishes to one virtual host, and reads its dead letters."""

    def __init__(self, url: str, evidence: Path) -> None:
        """Connect to `url`, and write every publish into the file of evidence."""
        self._url = url
        self._evidence = evidence
        self._dead: dict[str, str] = {}

    def send(
        self, task: str, *args: object, task_id: str | None = None, queue: str = WORK_QUEUE, **properties: object
    ) -> str:
        """Publish a task of the drill to the queue, wait for the confirm, and return the task's id.

        Raises:
            amqp.exceptions.MessageNacked: the broker refuses the message.
        """
        chosen: str = task_id or uuid()
        message = Celery(set_as_current=False).amqp.as_task_v2(chosen, f"proj.lab.drills.system.tasks.{task}", args, {})
        body = json.dumps(message.body).encode()
        self.send_raw(
            chosen, body, headers=message.headers, properties={"correlation_id": chosen, **properties}, queue=queue
        )
        return chosen

    def send_raw(
        self,
        task_id: str,
        body: bytes,
        *,
        headers: Mapping[str, Any],
        properties: Mapping[str, Any] | None = None,
        queue: str = WORK_QUEUE,
    ) -> None:
        """Publish any body and headers to the queue, and write down that the broker has confirmed the message.

        Raises:
            amqp.exceptions.MessageNacked: the broker refuses the message.
        """
        append(self._evidence, SENDING, task_id)
        with connected(self._connection(confirm_publish=True)) as connection:
            try:
                Producer(connection).publish(
                    body,
                    exchange="",
                    routing_key=queue,
                    headers={ID_HEADER: task_id, **headers},
                    delivery_mode=2,
                    **{"content_type": "application/json", "content_encoding": "utf-8", **(properties or {})},
                )
            except MessageNacked as error:
                append(self._evidence, RAISED, task_id, type(error).__name__)
                raise
        append(self._evidence, CONFIRMED, task_id)

    def send_together(self, task: str, headers: Sequence[Mapping[str, Any]], *args: object) -> tuple[str, ...]:
        """Publish a task with each of these headers by `send_many`, and return the ids of those that were refused.

        Raises:
            Unconfirmed: the broker may have some of them or not.
        """
        ids = [uuid() for _ in headers]
        for task_id in ids:
            append(self._evidence, SENDING, task_id)
        with Celery(broker=self._url, set_as_current=False) as app:
            confirm_publishing(app)
            # It exists, with whatever arguments.
            queue = Queue(WORK_QUEUE, no_declare=True)
            signatures = (
                app.signature(f"proj.lab.drills.system.tasks.{task}", args=args).set(
                    task_id=task_id, queue=queue, headers=dict(more)
                )
                for task_id, more in zip(ids, headers, strict=True)
            )
            try:
                send_many(signatures, app=app, on_confirmed=partial(append, self._evidence, CONFIRMED))
            except PublishRefused as refusal:
                for task_id in refusal.task_ids:
                    append(self._evidence, RAISED, task_id, "PublishRefused")
                return refusal.task_ids
            finally:
                close_publishing(app)
        return ()

    def dead(self) -> dict[str, str]:
        """The reason of each dead letter so far, by task id; takes new ones from the dead-letter queue."""
        with connected(self._connection()) as connection:
            channel = open_channel(connection)
            try:
                while message := channel.basic_get(DEAD_LETTERS, no_ack=True):
                    headers = message.headers or {}
                    task_id = headers.get(ID_HEADER) or headers.get("id") or message.properties.get("correlation_id")
                    self._dead[str(task_id)] = str(headers.get(REASON) or _reason_of_broker(headers))
            except connection.channel_errors:
                return dict(self._dead)  # the queue does not exist, so it is empty
        return dict(self._dead)

    def depth(self, queue: str = WORK_QUEUE) -> Depth | None:
        """The depth of the queue now; None when the queue does not exist."""
        with connected(self._connection()) as connection:
            return next(iter(depths_by_declare(connection, [queue])), None)

    def _connection(self, **options: object) -> Connection:
        return Connection(
            self._url, transport_options={"client_properties": {"connection_name": CONNECTION_NAME}, **options}
        )


def _reason_of_broker(headers: Mapping[str, Any]) -> str:
    deaths: list[Mapping[str, Any]] = headers.get("x-death") or [{}]
    return str(deaths[0].get("reason", "unknown"))
