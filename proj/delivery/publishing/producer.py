"""A producer whose `publish` returns when the broker has confirmed the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import kombu
from amqp import spec
from amqp.exceptions import NotFound

from proj.broker.connection import disconnect, ensure_connected, failures
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Deadline, PublishOperation, current_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import amqp
    from kombu import Connection, Exchange, Queue
    from kombu.transport.base import StdChannel
    from typing_extensions import TypedDict, Unpack

    class PublishOptions(TypedDict, total=False):
        """kombu's other arguments of `publish`, and properties of AMQP."""

        serializer: str | None
        compression: str | None
        headers: dict[str, Any] | None
        content_type: str | None
        content_encoding: str | None
        delivery_mode: int | None
        priority: int
        expiration: float | None
        timeout: float | None
        correlation_id: str
        message_id: str
        reply_to: str


class ConfirmingProducer(kombu.Producer):
    """kombu's producer with confirms, which reconnects and tries again until a deadline.

    Its `channel` is an ordinary one of the same connection, for declarations and for messages without confirm.
    """

    #: Seconds until an unconfirmed publish is given up, unless the caller says otherwise; None is for ever.
    timeout_s: float | None = 90.0
    #: Seconds for which a full queue is tried; None is until the deadline.
    full_timeout_s: float | None = None
    #: Exchanges of monitoring events and remote control, whose messages need no confirm and must not wait for one.
    unconfirmed_exchanges: frozenset[str] = frozenset()

    #: Lends a producer on another connection to the same broker.
    beside: Callable[[Connection], AbstractContextManager[ConfirmingProducer]] | None = None
    #: The queue that is declared with the next message.
    _declare_first: Queue | None = None
    _when_lost: Callable[[], None] | None = None
    #: Called when the connection was lost, where there are several addresses.
    on_lost: Callable[[], None] | None = None
    _channel: Connection | StdChannel | Callable[[], StdChannel] | None
    #: Replaced by the pool that lends the producer.
    release: Callable[[], None]
    if TYPE_CHECKING:

        @property
        def connection(self) -> Connection:
            """kombu's; never None, because it is made of a connection."""

    @property
    def channel(self) -> StdChannel:
        """Its channel; in a publish operation an open one, which may take until the deadline."""
        if current_operation() is not None and not isinstance(self._channel, ConfirmChannel):
            self._ensure_channel()
        return self._get_channel()

    @channel.setter
    def channel(self, channel: Connection | StdChannel | None) -> None:
        self._channel = channel

    def publish(  # type: ignore[override] # the other arguments are given by name, as Celery and kombu give them
        self,
        body: object,
        routing_key: str | None = None,
        *,
        exchange: str | Exchange | None = None,
        retry: bool = False,
        retry_policy: dict[str, object] | None = None,
        mandatory: bool | None = None,
        confirm_timeout: float | None = None,
        declare: Sequence[Exchange | Queue] | None = None,
        **options: Unpack[PublishOptions],
    ) -> None:
        """Publish, and return when the broker has confirmed the message.

        Args:
            body: as in kombu.
            routing_key: as in kombu.
            exchange: as in kombu.
            retry: whether to try again when the connection is lost or the broker rejects the message for now.
            retry_policy: kombu's, used only without confirms; the publish operation has its own, or a deadline.
            mandatory: whether a message that reaches no queue is an error; by default it is for a task only.
            confirm_timeout: seconds until the publish is given up, instead of the setting `proj_publish_timeout_s`.
            declare: as in kombu.
            options: as in kombu.

        Raises:
            PublishRefused: the broker will never accept it; `Unroutable` when it reaches no queue, and `QueueFull` when
                its queue was full for as long as the caller waits, so that a later publish may succeed.
            Unconfirmed: the deadline has passed; the broker may have the message or not.
        """
        connection = self.connection
        if not self._confirms(connection, exchange):
            super().publish(
                body,
                routing_key,
                exchange=exchange,
                retry=retry,
                retry_policy=retry_policy,
                declare=declare,
                **options,
            )
            return
        first, self._declare_first = self._declare_first, None
        when_lost, self._when_lost = self._when_lost, None
        if self.beside is not None and _consumes(connection):
            others: PublishOptions = {"serializer": self.serializer, "compression": self.compression, **options}
            with self.beside(connection) as other:
                if first is not None:
                    other.declare_before_next(first, when_lost)
                other.publish(
                    body,
                    self.routing_key if routing_key is None else routing_key,
                    exchange=exchange or self.exchange,
                    retry=retry,
                    mandatory=mandatory,
                    confirm_timeout=confirm_timeout,
                    declare=declare,
                    **others,
                )
            return
        operation = self._operation(confirm_timeout, options)
        if mandatory is None:
            mandatory = operation.mandatory

        def publish() -> None:
            nonlocal first
            try:
                self._publish_once(
                    operation,
                    first,
                    body,
                    routing_key,
                    exchange=exchange,
                    mandatory=mandatory,
                    declare=declare,
                    **options,
                )
            except failures(connection) as error:
                is_down = isinstance(error, NotFound) and error.method_sig == spec.Queue.Declare
                # RabbitMQ 4 takes a minute or more to say that the node of a queue is down. Of several nodes it is most
                # likely the one to which the connection was lost.
                is_likely_down = isinstance(error, connection.connection_errors) and bool(connection.alt)
                if first is not None and (is_down or is_likely_down):
                    # The next attempt goes without it: a task is worth more than its result.
                    first = None
                    if when_lost is not None:
                        when_lost()
                raise

        operation.until_done(publish, connection, recover=lambda: self.reset(connection), retry=retry)

    def declare_before_next(self, queue: Queue, when_lost: Callable[[], None] | None = None) -> None:
        """Declare the queue with the next message, without waiting for an answer of its own.

        `when_lost` is called when the broker has the queue on a node that is down.

        Both go over one channel, so the queue exists before the message is routed. When the broker refuses the
        declaration, it closes the channel, and the publish fails with the reason.
        """
        self._declare_first = queue
        self._when_lost = when_lost

    def note_event(self, fields: Mapping[str, object]) -> None:
        """Learn that the event of a task is published with these fields."""

    def reset(self, connection: Connection) -> None:
        """Close the connection, so that its next use connects, to the next of several addresses."""
        disconnect(connection)
        self._revive(connection)
        if self.on_lost is not None and connection.alt:
            self.on_lost()

    def _revive(self, connection: Connection) -> None:
        # kombu's stub says that it takes a channel only.
        self.revive(cast("StdChannel", connection))

    def _publish_once(
        self,
        operation: PublishOperation,
        first: Queue | None,
        body: object,
        routing_key: str | None,
        *,
        exchange: str | Exchange | None,
        mandatory: bool,
        declare: Sequence[Exchange | Queue] | None,
        **options: Unpack[PublishOptions],
    ) -> None:
        channel = ConfirmChannel.for_connection(self.connection)
        usual, self._channel = self._channel, channel
        written = channel.written
        channel.leaves = bool(self.connection.alt) and operation.may_change_nodes
        try:
            if first is not None:
                # The stub lacks `nowait`, and calling an entity binds it to the channel.
                cast("Any", first)(channel).declare(nowait=True)
            super().publish(
                body,
                routing_key,
                exchange=exchange,
                mandatory=mandatory,
                declare=declare,
                retry=False,
                confirm_timeout=operation.deadline.left_s,
                **options,
            )
        finally:
            operation.written = channel.written > written
            self._channel = usual

    def _confirms(self, connection: Connection, exchange: str | Exchange | None) -> bool:
        name = exchange if isinstance(exchange, str) else getattr(exchange or self.exchange, "name", "")
        return name not in self.unconfirmed_exchanges and connection.transport.driver_type == "amqp"

    def _operation(self, timeout_s: float | None, options: PublishOptions) -> PublishOperation:
        """The publish operation of this thread, or a new one for this message alone."""
        operation = current_operation()
        if operation is not None and timeout_s is None:
            return operation
        name = str(options.get("correlation_id") or options.get("message_id") or "")
        return PublishOperation(
            subject=f"message {name}" if name else "a message",
            task_id=name,
            deadline=Deadline(self.timeout_s if timeout_s is None else timeout_s),
            mandatory=operation is not None and operation.mandatory,
            full_timeout_s=self.full_timeout_s,
        )

    def _ensure_channel(self) -> None:
        connection, operation = self.__connection__, current_operation()
        if connection is None or operation is None or connection.transport.driver_type != "amqp":
            return

        def ensure() -> None:
            while True:
                if not connection.connected:
                    self.reset(connection)
                    ensure_connected(connection)
                if cast("amqp.Channel", self._get_channel()).connection is not None:
                    return
                self._revive(connection)

        operation.until_done(ensure, connection, recover=lambda: self.reset(connection))


def _consumes(connection: Connection) -> bool:
    """Whether messages may be delivered over the connection.

    Whoever waits for a confirm there handles deliveries meanwhile. A callback that publishes would be called inside
    itself for each message that the broker has sent, or would wait for an answer that the inner call has read.
    """
    channels: Mapping[int, Any] = getattr(connection._connection, "channels", None) or {}  # type: ignore[attr-defined] # noqa: SLF001 the public name connects
    return any(getattr(channel, "callbacks", None) for channel in channels.values())
