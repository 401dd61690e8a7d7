"""Connections over which nothing is declared, for an app whose queues and exchanges are made by somebody else.

A declaration over such a connection does nothing: it asks the broker for nothing, so the user needs no permission to
configure. Three kinds still reach the broker: a passive one, which only asks; what a person orders (`ordered`); and a
queue that RabbitMQ deletes with its connection, with its last consumer or after a time without use. Nobody else can
keep such a queue ready: the control queue of a worker, replies, the results of `rpc://`, what listens to events.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from amqp.protocol import queue_declare_ok_t
from kombu.connection import Connection, ConnectionPool, PooledConnection
from kombu.transport import pyamqp
from kombu.utils.collections import HashedSeq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import amqp
    from kombu.transport.base import Transport

    class _PooledConnection(Connection):
        """kombu's `PooledConnection`, whose stub does not say that it is a connection."""

        def __init__(self, pool: ConnectionPool, **options: object) -> None: ...

else:
    _PooledConnection = PooledConnection

AnyChannel = TypeVar("AnyChannel", bound="amqp.Channel")


def is_of_one_process(name: str, *, exclusive: bool, auto_delete: bool, arguments: Mapping[str, object] | None) -> bool:
    """Whether the broker deletes the queue by itself, so that the process that uses it must make it."""
    return not name or exclusive or auto_delete or "x-expires" in (arguments or {})


def ordered(channel: AnyChannel) -> AnyChannel:
    """The channel, over which everything is declared from now on: a person has ordered it by a command."""
    # Also of a channel of py-amqp's own, where it changes nothing.
    vars(channel)["is_ordered"] = True
    return channel


class UndeclaringChannel(pyamqp.Channel):
    """kombu's channel; over a connection that declares nothing, its declarations do nothing."""

    #: Whether a person has ordered what is declared.
    is_ordered = False

    def queue_declare(self, queue: str = "", *arguments: object, **options: Any) -> Any:  # noqa: ANN401 as py-amqp's
        """Declare the queue, ask for it, or do nothing, as this module says."""
        of_one_process = is_of_one_process(
            queue,
            exclusive=bool(options.get("exclusive")),
            # py-amqp's own default.
            auto_delete=bool(options.get("auto_delete", True)),
            arguments=options.get("arguments"),
        )
        if options.get("passive") or of_one_process or self._declares:
            declare: Callable[..., Any] = super().queue_declare
            declared = declare(queue, *arguments, **options)
            if of_one_process and not self._declares and not options.get("passive"):
                self._own().add(queue or declared.queue)
            return declared
        return queue_declare_ok_t(queue, 0, 0)

    def exchange_declare(self, exchange: str, *arguments: object, **options: object) -> None:
        """Declare the exchange, ask for it, or do nothing, as this module says."""
        if options.get("passive") or self._declares:
            declare: Callable[..., object] = super().exchange_declare
            declare(exchange, *arguments, **options)

    def queue_bind(self, queue: str, *arguments: object, **options: object) -> None:
        """Bind the queue, or do nothing, as this module says."""
        if self._declares or queue in self._own():
            bind: Callable[..., object] = super().queue_bind
            bind(queue, *arguments, **options)

    def exchange_bind(self, destination: str, *arguments: object, **options: object) -> None:
        """Bind the exchange, or do nothing."""
        if self._declares:
            bind: Callable[..., object] = super().exchange_bind
            bind(destination, *arguments, **options)

    @property
    def _declares(self) -> bool:
        return self.is_ordered or not isinstance(self.connection, _UndeclaringAmqp)

    def _own(self) -> set[str]:
        """The queues of this process, which were declared over this connection."""
        own: set[str] = vars(self.connection).setdefault("proj_own_queues", set())
        return own


class _UndeclaringAmqp:
    """Mixed into the class of a connection of py-amqp."""

    Channel = UndeclaringChannel


@cache
def _undeclaring(transport: Any) -> Any:  # noqa: ANN401 classes, of which the stubs do not say that they have a hash
    """The transport, kombu's or one of ours, with connections that declare nothing."""
    connection = type("UndeclaringAmqp", (_UndeclaringAmqp, transport.Connection), {})
    return type("UndeclaringTransport", (transport,), {"Connection": connection})


class UndeclaringConnection(Connection):
    """kombu's connection, over which nothing is declared; over another broker than RabbitMQ, kombu's own."""

    def get_transport_cls(self) -> type[Transport]:
        """The class of its transport."""
        chosen: type[Transport] = super().get_transport_cls()
        if not issubclass(chosen, pyamqp.Transport):
            return chosen
        made: type[Transport] = _undeclaring(cast("Any", chosen))
        return made

    def Pool(self, limit: int | None = None, **options: Any) -> ConnectionPool:  # noqa: ANN401, N802 kombu's own
        """A pool of such connections."""
        return _Pool(self, limit, **options)

    def __eqhash__(self) -> Any:  # noqa: ANN401 kombu's own
        """What kombu tells pools apart by: another app of this process may declare over the same broker."""
        return HashedSeq("undeclared", *super().__eqhash__())


def options_of(connection: Connection) -> dict[str, Any]:
    """The options with which kombu's pool makes a further connection like this one."""
    return dict(connection._info(resolve=False))  # noqa: SLF001 as kombu's pool does


class _Pooled(_PooledConnection, UndeclaringConnection):
    pass


class _Pool(ConnectionPool):
    def new(self) -> Connection:
        return _Pooled(self, **options_of(self.connection))
