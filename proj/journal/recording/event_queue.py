"""Event queue of a journal: durable and bounded, it keeps events while no recorder runs."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from amqp.exceptions import NotFound
from celery.events.event import get_exchange
from kombu import Queue

from proj.broker.connection import count_queue, open_channel
from proj.broker.declaration import may_declare
from proj.errors import InvalidSetting
from proj.queues import CLASSIC, JOURNAL_ARGUMENT, MADE_ARGUMENT, QUORUM

if TYPE_CHECKING:
    from pathlib import Path

    import amqp
    from celery import Celery
    from kombu import Connection

#: Seconds that the broker keeps events without a recorder, and then the queue itself. A day: a recorder may be away for
#: a night, and the queue of a journal that is no longer recorded is soon deleted.
KEPT_S = 24 * 3600
#: Limits of the queue; beyond them the broker drops the oldest messages. A worker puts up to 200 events into one.
MOST_MESSAGES = 1_000_000
MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """The event queue as it was before it was declared or deleted."""

    existed: bool
    #: Messages that were ready in it.
    messages: int = 0

    @property
    def overflowed(self) -> bool:
        """Whether it was so full that the broker must have dropped messages."""
        return self.messages >= MOST_MESSAGES


class EventQueue:
    """A queue on the exchange to which the workers and producers of an app send their events."""

    def __init__(self, app: Celery, name: str, path: Path) -> None:
        """Take the name, and the path of its journal; nothing is declared yet."""
        self._app = app
        self._path = path
        self._type = CLASSIC
        #: Whether the user may declare the exchange; if not, somebody else must have made it.
        self._declares_exchange = True
        self.name = name

    def declare(self, connection: Connection) -> QueueState:
        """Declare the queue, so that no further event is missed; return its state before.

        On a cluster it is a quorum queue, so that it outlives a node; one that exists keeps its type.

        Raises:
            InvalidSetting: there is a queue of that name with other arguments, or no exchange of the events, which this
                user may not declare.
            NotFound: it is on a node that is down.
        """
        before = self._state(connection)
        self._type = QUORUM if connection.alt else CLASSIC
        refusal = self._refusal(connection)
        if refusal is not None and before.existed:
            self._type = CLASSIC if connection.alt else QUORUM
            refusal = self._refusal(connection)
        if refusal is not None:
            raise InvalidSetting(
                "The event queue",
                self.name,
                "a name that is free or the event queue of a journal; choose another one with --queue "
                f"(RabbitMQ says: {refusal})",
            ) from refusal
        return before

    def delete(self, connection: Connection) -> QueueState:
        """Delete the queue with its messages; return its state before."""
        before = self._state(connection)
        with closing(open_channel(connection)) as channel:
            channel.queue_delete(self.name)
        return before

    def bound(self, connection: Connection) -> Queue:
        """The declaration of the queue and its binding, of the type with which it was declared."""
        exchange = get_exchange(connection, name=self._app.conf.event_exchange)
        exchange.no_declare = not self._declares_exchange
        return Queue(
            self.name,
            exchange=exchange,
            routing_key="#",
            durable=True,
            auto_delete=False,
            exclusive=False,
            message_ttl=KEPT_S,
            expires=KEPT_S,
            max_length=MOST_MESSAGES,
            max_length_bytes=MOST_BYTES,
            queue_arguments={
                "x-queue-type": self._type,
                "x-overflow": "drop-head",
                # Not compared with those of a queue that exists, which so keeps the time at which it was made.
                JOURNAL_ARGUMENT: str(self._path.absolute()),
                MADE_ARGUMENT: int(time.time()),
            },
        )

    def _refusal(self, connection: Connection) -> BaseException | None:
        """What the broker answers to the declaration; None when it has the queue."""
        with connection.channel() as channel:
            exchange = get_exchange(connection, name=self._app.conf.event_exchange)
            self._declares_exchange = may_declare(cast("amqp.Connection", connection.connection), exchange)
            try:
                self.bound(connection)(channel).declare()
            except NotFound as error:
                if not self._declares_exchange and "no exchange" in str(error):
                    raise InvalidSetting(
                        "The exchange of the events (event_exchange)",
                        exchange.name,
                        "one that exists, because this user may not declare it; start a worker with --task-events "
                        "once, or let an administrator import what `queues topology` prints",
                    ) from error
                raise
            except connection.channel_errors as error:
                return error
        return None

    def _state(self, connection: Connection) -> QueueState:
        # A channel of its own: the broker closes it if the queue does not exist.
        with closing(open_channel(connection)) as channel:
            try:
                return QueueState(existed=True, messages=count_queue(channel, self.name).message_count)
            except connection.channel_errors:
                return QueueState(existed=False)


def queue_name(prefix: str, path: Path) -> str:
    """The name of the event queue of the journal at `path`; the same path gives the same name."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    return f"{prefix}.journal.{path.stem[:100]}.{digest}"
