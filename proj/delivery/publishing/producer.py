"""A producer whose `publish` returns when the broker has confirmed the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kombu

from proj.broker.connection import disconnect, ensure_connected
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Patience, Sending, current

if TYPE_CHECKING:
    from kombu import Connection, Exchange


class ConfirmingProducer(kombu.Producer):
    """kombu's producer, with confirms, that outlives the loss of its connection until a deadline.

    Its `channel` is an ordinary one of the same connection, for declarations and for what needs no confirm.
    """

    #: How Celery's side knows that it need not wrap it.
    confirms = True
    #: Seconds until a publish that is not confirmed is given up, for whoever says nothing else; None is for ever.
    timeout_s: float | None = 90.0
    #: Seconds of these for which a full queue is tried.
    full_timeout_s: float | None = None
    #: Exchanges of monitoring and remote control, whose messages need no confirm and would suffer from waiting.
    unconfirmed_exchanges: frozenset[str] = frozenset()

    @property
    def channel(self) -> Any:  # noqa: ANN401 kombu's channel
        """Its channel; while a task is being sent, one that is open, which may take until the deadline."""
        if current() is not None and not isinstance(self._channel, ConfirmChannel):
            self._ensure_channel()
        return self._get_channel()

    @channel.setter
    def channel(self, channel: Any) -> None:  # noqa: ANN401 kombu's channel
        self._channel = channel

    def publish(
        self,
        body: Any,  # noqa: ANN401 any body, as kombu
        *args: Any,  # noqa: ANN401 as kombu
        exchange: str | Exchange | None = None,
        retry: bool = False,
        retry_policy: object = None,
        mandatory: bool | None = None,
        confirm_timeout: float | None = None,
        **options: Any,  # noqa: ANN401 as kombu
    ) -> None:
        """Publish, and return when the broker has confirmed.

        Args:
            body: and all else that is not named here, as in kombu.
            args: as in kombu.
            exchange: as in kombu.
            retry: whether to try again when the connection is lost or the broker refuses for the moment.
            retry_policy: kombu's; the deadline stands in its place.
            mandatory: whether it is an error that no queue takes it; tasks are, when nothing is said.
            confirm_timeout: seconds until it is given up, instead of the setting `proj_publish_timeout_s`.
            options: as in kombu.

        Raises:
            PublishRefused: the broker will not have it, at any time; `Unroutable` when no queue takes it, and
                `QueueFull` when its queue had no room for as long as was waited: then a later time may do.
            Unconfirmed: the deadline has passed; the broker may or may not have it.
        """
        connection = self.connection
        if not self._confirms(connection, exchange):  # type: ignore[arg-type] # unlike celery-types
            super().publish(body, *args, exchange=exchange, retry=retry, retry_policy=retry_policy, **options)  # type: ignore[arg-type, misc] # unlike celery-types
            return
        sending = self._sending(confirm_timeout, options)
        if mandatory is None:
            mandatory = sending.mandatory
        sending.until_done(
            lambda: self._publish_once(
                connection,  # type: ignore[arg-type] # unlike celery-types
                sending,
                body,
                *args,
                exchange=exchange,
                mandatory=mandatory,
                **options,
            ),
            connection,  # type: ignore[arg-type] # unlike celery-types
            recover=lambda: self.reset(connection),  # type: ignore[arg-type] # unlike celery-types
            retry=retry,
        )

    def reset(self, connection: Connection) -> None:
        """Give the connection up, so that the next use makes a new one, to the next of several addresses."""
        disconnect(connection)
        self.revive(connection)  # type: ignore[arg-type] # unlike celery-types

    def _publish_once(self, connection: Connection, sending: Sending, *args: Any, **options: Any) -> None:  # noqa: ANN401 as kombu
        channel = ConfirmChannel.of(connection)
        usual, self._channel = self._channel, channel
        written = channel.written
        try:
            super().publish(*args, retry=False, confirm_timeout=sending.patience.left_s, **options)  # type: ignore[misc] # unlike celery-types
        finally:
            sending.written = channel.written > written
            self._channel = usual

    def _confirms(self, connection: Connection, exchange: str | Exchange | None) -> bool:
        name = exchange if isinstance(exchange, str) else getattr(exchange or self.exchange, "name", "")
        return name not in self.unconfirmed_exchanges and connection.transport.driver_type == "amqp"

    def _sending(self, timeout_s: float | None, options: dict[str, Any]) -> Sending:
        """The task that is being sent now; else a sending of this message alone."""
        sending = current()
        if sending is not None and timeout_s is None:
            return sending
        name = str(options.get("correlation_id") or options.get("message_id") or "")
        return Sending(
            what=f"The message {name}".rstrip(),
            task_id=name,
            patience=Patience(self.timeout_s if timeout_s is None else timeout_s),
            mandatory=sending is not None and sending.mandatory,
            full_timeout_s=self.full_timeout_s,
        )

    def _ensure_channel(self) -> None:
        connection, sending = self.__connection__, current()
        if connection is None or sending is None or connection.transport.driver_type != "amqp":
            return

        def ensure() -> None:
            while True:
                if not connection.connected:
                    self.reset(connection)
                    ensure_connected(connection)
                if self._get_channel().connection is not None:  # type: ignore[attr-defined] # unlike celery-types
                    return
                self.revive(connection)  # type: ignore[arg-type] # unlike celery-types

        sending.until_done(ensure, connection)
