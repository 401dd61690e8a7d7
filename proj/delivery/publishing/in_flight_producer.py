"""A producer for Celery's own message building, which adds each message to those in flight instead of waiting."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import kombu
from kombu.common import maybe_declare

from proj.broker.connection import failures
from proj.delivery.publishing.building.task_template import Built
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Deadline, current_operation, publishing
from proj.delivery.publishing.producer import ConfirmingProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kombu import Connection, Exchange, Queue
    from kombu.transport.base import StdChannel
    from typing_extensions import Unpack

    from proj.delivery.publishing.building.templates import Templates
    from proj.delivery.publishing.deadline import PublishOperation
    from proj.delivery.publishing.in_flight import InFlight
    from proj.delivery.publishing.outgoing_message import OutgoingMessage
    from proj.delivery.publishing.producer import PublishOptions

#: How many monitoring events go in one message, as a worker's do, and how many seconds an event may wait for others.
EVENTS_AT_ONCE = 100
EVENTS_WAIT_S = 0.5
#: Events that are kept while the broker has blocked publishers; older ones are dropped.
EVENTS_KEPT = 1000


class DeclaringChannel:
    """A channel that flushes the messages in flight before it declares anything."""

    def __init__(self, channel: StdChannel, in_flight: InFlight) -> None:
        """Wrap `channel`, which shares its connection with the messages in flight."""
        self.channel = channel
        self._in_flight = in_flight

    def __getattr__(self, name: str) -> object:
        """Everything else is the channel's own."""
        if name.startswith(("exchange_", "queue_")):
            # The broker answers a declaration, so it must not wait in the kernel to be sent.
            self._in_flight.flush()
        return getattr(self.channel, name)


class InFlightProducer(ConfirmingProducer):
    """The producer for `apply_async(producer=…)`: all of Celery's routes, headers and signals happen as usual."""

    def __init__(self, pooled: ConfirmingProducer, in_flight: InFlight, *, event_exchange: str) -> None:
        """Publish as the pooled producer would, without waiting for each confirm."""
        super().__init__(pooled.connection, serializer=pooled.serializer, auto_declare=False)
        self.unconfirmed_exchanges = pooled.unconfirmed_exchanges
        self.timeout_s = in_flight.timeout_s
        self._pooled = pooled
        self._in_flight = in_flight
        self._declaring: DeclaringChannel | None = None
        self._event_exchange = event_exchange
        self._events: list[object] = []
        self._events_since = 0.0
        self._event_options: dict[str, Any] = {}
        #: The names of queues that were declared before the next message.
        self._declared_before: set[str] = set()
        #: What is recorded; None outside `recording`.
        self._recorded: list[Built] | None = None
        #: Builds messages in Celery's place; None when Celery builds all.
        self.templates: Templates | None = None

    @property
    def channel(self) -> StdChannel:
        """As every producer's, but a declaration flushes the messages in flight first."""
        channel = super().channel
        if isinstance(channel, ConfirmChannel):
            return channel
        if self._declaring is None or self._declaring.channel is not channel:
            self._declaring = DeclaringChannel(channel, self._in_flight)
        return cast("StdChannel", self._declaring)

    @channel.setter
    def channel(self, channel: Connection | StdChannel | None) -> None:
        self._channel = channel

    def publish(  # type: ignore[override] # as in ConfirmingProducer
        self,
        body: object,
        routing_key: str | None = None,
        *,
        exchange: str | Exchange | None = None,
        retry: bool = False,
        retry_policy: dict[str, object] | None = None,
        mandatory: bool | None = None,
        confirm_timeout: float | None = None,  # noqa: ARG002 the messages in flight have their own deadline
        declare: Sequence[Exchange | Queue] | None = None,
        **options: Unpack[PublishOptions],
    ) -> None:
        """Add the message to those in flight; keep a monitoring event back, to send it with others."""
        if exchange == self._event_exchange and routing_key == "task.sent":
            self.keep_event(body, {**options, "exchange": exchange, "declare": declare})
            return
        if not self._confirms(self.connection, exchange):
            kombu.Producer.publish(
                self,
                body,
                routing_key,
                exchange=exchange,
                retry=retry,
                retry_policy=retry_policy,
                declare=declare,
                **options,
            )
            return
        operation = current_operation()
        if operation is None:
            operation = self._operation(None, options)
        else:
            # Neither the deadline nor the retry policy of a task that is sent alone.
            operation = replace(operation, deadline=Deadline(self.timeout_s), policy=None, retry=True)
        with publishing(operation):
            self._declare(declare or (), operation)
        channel = self._in_flight.await_channel()
        captured: list[OutgoingMessage] = []
        channel.capture = captured.append
        usual, self._channel = self._channel, channel
        try:
            kombu.Producer.publish(
                self, body, routing_key, exchange=exchange, mandatory=mandatory is None or mandatory, **options
            )
        finally:
            channel.capture = None
            self._channel = usual
        (outgoing,) = captured
        if self._recorded is not None:
            self._recorded.append(
                Built(
                    outgoing=outgoing,
                    serializer=options.get("serializer"),
                    declare=tuple(declare or ()),
                    body=body,
                )
            )
        self._in_flight.add(outgoing)

    def declare_before_next(self, queue: Queue, when_lost: Callable[[], None] | None = None) -> None:
        """Declare the queue now: it is asked for once a second only. `when_lost` is called when the connection is lost.

        The first time this waits for the answer, which may be a refusal. Later the queue exists as it is declared, or
        has been deleted, and the answer would come behind those to all messages in flight.
        """
        # The messages in flight connect again with it.
        self._pooled.on_lost = when_lost
        if queue.name in self._declared_before:
            if self._declare_unanswered(queue):
                return
            if when_lost is not None and self.connection.alt:
                # It is most likely on the node to which the connection was lost, and RabbitMQ 4 takes a minute or more
                # to say so. The next task has another one.
                when_lost()
                return
        self._declare((queue,), current_operation() or self._operation(None, {}))
        self._declared_before.add(queue.name)

    def _declare_unanswered(self, queue: Queue) -> bool:
        try:
            # The stub lacks `nowait`, and calling an entity binds it to the channel.
            cast("Any", queue)(self._in_flight.await_channel()).declare(nowait=True)
        except failures(self.connection):
            # The messages in flight meet the same error, and connect again.
            return False
        return True

    def add(self, outgoing: OutgoingMessage) -> None:
        """Add a message that is built already."""
        self._in_flight.add(outgoing)

    def has_declared(self, entities: frozenset[int] | None) -> bool:
        """Whether entities with these hashes were declared over this connection, and need not be declared again."""
        declared = cast("set[int]", self.connection.declared_entities)
        return entities is not None and declared.issuperset(entities)

    @contextmanager
    def recording(self) -> Iterator[list[Built]]:
        """The messages that are published in the block."""
        recorded: list[Built] = []
        self._recorded = recorded
        try:
            yield recorded
        finally:
            self._recorded = None

    def note_event(self, fields: Mapping[str, object]) -> None:
        """Add the event to the message that was published before."""
        if self._recorded:
            self._recorded[-1] = replace(self._recorded[-1], event=dict(fields))

    def __exit__(self, *_: object) -> None:
        """Do nothing: kombu closes the connection after an error, but an error of one message must not end others."""

    def close(self) -> None:
        """Leave the pooled producer as it was."""
        self._pooled.on_lost = None

    def send_events(self) -> None:
        """Send the events that were kept back; they are dropped when that fails."""
        connection = self.connection
        if not self._events or not connection.connected:
            self._events.clear()
            return
        if self._in_flight.blocked:
            # The broker does not read, so the socket would fill, and the next message would wait behind the events.
            del self._events[:-EVENTS_KEPT]
            return
        events, self._events = self._events, []
        try:
            kombu.Producer(connection.default_channel, auto_declare=False).publish(
                events, routing_key="task.multi", **self._event_options
            )
        except failures(connection):
            # When the connection is lost, the messages in flight meet the same error.
            pass

    def keep_event(self, event: object, options: dict[str, Any] | None = None) -> None:
        """Keep a monitoring event, to send it with others; `options` are those of its message, if they are new."""
        if not self._events:
            self._events_since = time.monotonic()
        self._events.append(event)
        if options is not None:
            self._event_options = options
        if len(self._events) >= EVENTS_AT_ONCE or time.monotonic() - self._events_since >= EVENTS_WAIT_S:
            self.send_events()

    def _declare(self, entities: Iterable[Exchange | Queue], operation: PublishOperation) -> None:
        """Declare on another channel, because the broker closes a channel whose declaration it refuses."""
        connection = self.connection
        # The stub allows None, which kombu replaces when it makes a connection.
        declared = cast("set[object]", connection.declared_entities)
        for entity in entities:
            # `maybe_declare` finds this out too, after it has copied the entity.
            if not (entity.can_cache_declaration and hash(entity) in declared):
                operation.until_done(partial(self._declare_now, entity), connection)

    def _declare_now(self, entity: Exchange | Queue) -> None:
        try:
            maybe_declare(entity, self.channel)
        except OSError:
            # The broker did not answer: the connection may be open at this end alone.
            self.reset(self.connection)
            raise
