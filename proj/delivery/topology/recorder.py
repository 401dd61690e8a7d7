"""A channel that notes what would be declared, so that Celery's and our own declarations tell what must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from amqp.exceptions import NotFound
from amqp.protocol import queue_declare_ok_t
from kombu.transport import pyamqp

from proj.broker.permissions.undeclared import is_of_one_process
from proj.delivery.topology.entities import Binding, Exchange, Part, Queue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Recorder:
    """In place of a connection and of its channels. A queue that the broker deletes by itself is not noted."""

    def __init__(self) -> None:
        """Begin without anything: a passive declaration finds only what was noted."""
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.bindings: dict[tuple[str, str, str, str], Binding] = {}
        self._left_out: set[str] = set()

    def channel(self) -> Recorder:
        """As a connection has it."""
        return self

    def close(self) -> None:
        """Do nothing."""

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:  # noqa: ANN401 as kombu's
        """As kombu's channel for RabbitMQ."""
        return pyamqp.Channel.prepare_queue_arguments(cast("Any", self), arguments, **options)

    def queue_declare(
        self,
        queue: str,
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> queue_declare_ok_t:
        """Note the queue.

        Raises:
            NotFound: a passive declaration asks for a queue that was not noted.
        """
        if passive:
            if queue not in self.queues:
                raise NotFound(f"NOT_FOUND - no queue '{queue}'")
        elif is_of_one_process(queue, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments):
            self._left_out.add(queue)
        else:
            self.queues[queue] = Queue(name=queue, durable=durable, arguments=dict(arguments or {}))
        return queue_declare_ok_t(queue, 0, 0)

    def exchange_declare(
        self,
        exchange: str,
        type: str = "direct",  # noqa: A002 py-amqp's own name
        *,
        passive: bool = False,
        durable: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        """Note the exchange.

        Raises:
            NotFound: a passive declaration asks for an exchange that was not noted.
        """
        if not passive:
            self.exchanges[exchange] = Exchange(
                name=exchange, type=type, durable=durable, arguments=dict(arguments or {})
            )
        elif exchange not in self.exchanges:
            raise NotFound(f"NOT_FOUND - no exchange '{exchange}'")

    def queue_bind(
        self,
        queue: str,
        exchange: str = "",
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        """Note the binding."""
        if exchange and queue not in self._left_out:
            self._bind("queue", queue, exchange, routing_key, arguments)

    def exchange_bind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        """Note the binding."""
        self._bind("exchange", destination, source, routing_key, arguments)

    def part(
        self,
        name: str,
        *,
        without: str,
        required: bool = False,
        known: Collection[Part] = (),
        any_arguments: bool = False,
    ) -> Part:
        """What was noted and is in none of the `known` parts."""
        exchanges = {each.name for part in known for each in part.exchanges}
        queues = {each.name for part in known for each in part.queues}
        bindings = {each.key for part in known for each in part.bindings}
        return Part(
            name=name,
            without=without,
            required=required,
            exchanges=tuple(each for each in self.exchanges.values() if each.name not in exchanges),
            queues=tuple(each for each in self.queues.values() if each.name not in queues),
            bindings=tuple(each for each in self.bindings.values() if each.key not in bindings),
            any_arguments=any_arguments,
        )

    def _bind(
        self, kind: str, destination: str, source: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> None:
        bound = Binding(
            source=source,
            destination=destination,
            kind=kind,
            routing_key=routing_key or "",
            arguments=dict(arguments or {}),
        )
        self.bindings[bound.key] = bound
