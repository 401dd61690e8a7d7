"""The event queue of a journal: durable and bounded, so that a recorder may be away for a while."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery.events.event import get_exchange
from kombu import Queue

from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery
    from kombu import Connection

#: Seconds that the broker keeps events for a recorder that is away, and then the queue itself: a day, so that a
#: recorder may be away for a night, and one that was forgotten leaves nothing for long.
KEPT_S = 24 * 3600
#: Messages and bytes that it keeps at most; then the oldest go. A worker puts up to some twenty events into a message.
MOST_MESSAGES = 1_000_000
MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """What was there before."""

    #: Whether the queue was.
    existed: bool
    #: Messages in it.
    messages: int = 0

    @property
    def overflowed(self) -> bool:
        """Whether it is so full that older messages must have gone."""
        return self.messages >= MOST_MESSAGES


class EventQueue:
    """A queue of its own on the exchange to which an app's workers and producers send their events."""

    def __init__(self, app: Celery, name: str) -> None:
        """Name it; nothing is declared yet."""
        self._app = app
        self.name = name

    def declare(self, connection: Connection) -> QueueState:
        """Make the queue if there is none, so that no event is missed from now on; tell what was there.

        Raises:
            InvalidSetting: there is another queue of that name.
        """
        found = self._found(connection)
        with connection.channel() as channel:
            try:
                self.bound(connection)(channel).declare()
            except connection.channel_errors as error:
                raise InvalidSetting(
                    "The event queue", self.name, f"a queue that was made for a journal; the broker says: {error}"
                ) from error
        return found

    def delete(self, connection: Connection) -> QueueState:
        """Delete the queue and what is in it; tell what was there."""
        found = self._found(connection)
        with connection.channel() as channel:
            channel.queue_delete(self.name)  # type: ignore[attr-defined] # unlike celery-types
        return found

    def bound(self, connection: Connection) -> Queue:
        """Its declaration: classic, since events are transient messages, and durable on every RabbitMQ there is."""
        return Queue(
            self.name,
            exchange=get_exchange(connection, name=self._app.conf.event_exchange),
            routing_key="#",
            durable=True,
            auto_delete=False,
            exclusive=False,
            message_ttl=KEPT_S,
            expires=KEPT_S,
            max_length=MOST_MESSAGES,
            max_length_bytes=MOST_BYTES,
            queue_arguments={"x-queue-type": "classic", "x-overflow": "drop-head"},
        )

    def _found(self, connection: Connection) -> QueueState:
        # A queue that is not there closes the channel, so it is asked on one of its own.
        channel = connection.channel()
        try:
            answer = channel.queue_declare(queue=self.name, passive=True)  # type: ignore[attr-defined] # unlike celery-types
        except connection.channel_errors:
            return QueueState(existed=False)
        channel.close()  # type: ignore[attr-defined] # unlike celery-types
        return QueueState(existed=True, messages=answer.message_count)


def queue_name(prefix: str, path: Path) -> str:
    """The name of the event queue of the journal at `path`: the same for the same file."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    return f"{prefix}.journal.{path.stem[:100]}.{digest}"
