"""A producer for Celery's own message building, which puts what it is given into a window instead of waiting."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import kombu
from kombu.common import maybe_declare

from proj.broker.connection import failures
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.deadline import Patience, current, sending
from proj.delivery.publishing.producer import ConfirmingProducer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu import Exchange

    from proj.delivery.publishing.confirm_channel import Publish
    from proj.delivery.publishing.deadline import Sending
    from proj.delivery.publishing.in_flight import Window

#: Monitoring events of as many tasks go in one message, as a worker's do; and no event waits longer than this.
EVENTS_AT_ONCE = 100
EVENTS_WAIT_S = 0.5
#: Events that are kept while the broker has blocked us; older ones are dropped.
EVENTS_KEPT = 1000


class DeclaringChannel:
    """A channel on which what waits to be written is written before anything is declared."""

    def __init__(self, channel: Any, window: Window) -> None:  # noqa: ANN401 kombu's channel
        """Stand before this one, which shares its connection with the window."""
        self.channel = channel
        self._window = window

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 whatever the channel has
        """All else is the channel's own."""
        if name.startswith(("exchange_", "queue_")):
            # What is declared is answered, so it must not wait to be sent.
            self._window.flush()
        return getattr(self.channel, name)


class WindowProducer(ConfirmingProducer):
    """What `apply_async(producer=…)` is given: all of Celery's routes, headers and signals happen as always."""

    def __init__(self, pooled: ConfirmingProducer, window: Window, *, event_exchange: str) -> None:
        """Publish as the pooled producer would, into the window."""
        super().__init__(pooled.connection, serializer=pooled.serializer, auto_declare=False)  # type: ignore[arg-type] # unlike celery-types
        self.unconfirmed_exchanges = pooled.unconfirmed_exchanges
        self.timeout_s = window.timeout_s
        self._window = window
        self._declaring: DeclaringChannel | None = None
        self._event_exchange = event_exchange
        self._events: list[Any] = []
        self._events_since = 0.0
        self._event_options: dict[str, Any] = {}

    @property
    def channel(self) -> Any:  # noqa: ANN401 kombu's channel
        """As every producer's, but for declarations that are repeated."""
        channel = super().channel
        if isinstance(channel, ConfirmChannel):
            return channel
        if self._declaring is None or self._declaring.channel is not channel:
            self._declaring = DeclaringChannel(channel, self._window)
        return self._declaring

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
        confirm_timeout: float | None = None,  # noqa: ARG002 the window has its own deadline
        declare: Iterable[Any] | None = None,
        **options: Any,  # noqa: ANN401 as kombu
    ) -> None:
        """Put the message into the window; hold a monitoring event back, to be sent with others."""
        if exchange == self._event_exchange and options.get("routing_key") == "task.sent":
            self._hold_event(body, {**options, "exchange": exchange, "declare": declare})
            return
        if not self._confirms(self.connection, exchange):  # type: ignore[arg-type] # unlike celery-types
            kombu.Producer.publish(  # type: ignore[misc] # unlike celery-types
                self,
                body,
                *args,
                exchange=exchange,
                retry=retry,
                retry_policy=retry_policy,  # type: ignore[arg-type] # unlike celery-types
                declare=declare,  # type: ignore[arg-type] # unlike celery-types
                **options,
            )
            return
        now = current()
        # The window's deadline, and not the one of a task that is sent alone.
        now = self._sending(None, options) if now is None else replace(now, patience=Patience(self.timeout_s))
        with sending(now):
            self._declare(declare or (), now)
        channel = self._window.usable_channel()
        taken: list[Publish] = []
        channel.divert = taken.append
        usual, self._channel = self._channel, channel
        try:
            kombu.Producer.publish(  # type: ignore[misc] # unlike celery-types
                self, body, *args, exchange=exchange, mandatory=mandatory is None or mandatory, **options
            )
        finally:
            channel.divert = None
            self._channel = usual
        self._window.add(taken.pop())

    def __exit__(self, *_: object) -> None:
        """Nothing: kombu's closes the connection after an error, which one message may have and the others not."""

    def send_events(self) -> None:
        """Send the events that were held back; they are dropped when that fails."""
        connection = self.connection
        if not self._events or not connection.connected:  # type: ignore[union-attr] # unlike celery-types
            self._events.clear()
            return
        if self._window.blocked:
            # The socket would fill, and the next message wait behind it.
            del self._events[:-EVENTS_KEPT]
            return
        events, self._events = self._events, []
        try:
            kombu.Producer(connection.default_channel, auto_declare=False).publish(  # type: ignore[union-attr] # unlike celery-types
                events, **{**self._event_options, "routing_key": "task.multi"}
            )
        except failures(connection):  # type: ignore[arg-type] # unlike celery-types
            # The window notices by itself when the connection is lost.
            pass

    def _hold_event(self, event: object, options: dict[str, Any]) -> None:
        if not self._events:
            self._events_since = time.monotonic()
        self._events.append(event)
        self._event_options = options
        if len(self._events) >= EVENTS_AT_ONCE or time.monotonic() - self._events_since >= EVENTS_WAIT_S:
            self.send_events()

    def _declare(self, entities: Iterable[Any], now: Sending) -> None:
        """Declare beside the window's channel, which the broker would close over a declaration that it refuses."""
        connection = self.connection
        for entity in entities:
            # `maybe_declare` finds this out too, after copying the entity.
            if not (entity.can_cache_declaration and hash(entity) in connection.declared_entities):  # type: ignore[operator, union-attr] # unlike celery-types
                now.until_done(partial(self._declare_now, entity), connection)  # type: ignore[arg-type] # unlike celery-types

    def _declare_now(self, entity: Any) -> None:  # noqa: ANN401 a queue or an exchange
        maybe_declare(entity, self.channel)
