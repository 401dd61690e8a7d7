"""A channel in confirm mode, which knows of every message that it wrote whether the broker has it."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqp import spec
from amqp.exceptions import ChannelError, MessageNacked
from kombu.transport import pyamqp

from proj.broker.connection import ensure_connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Connection

logger = logging.getLogger(__name__)

#: Seconds of silence after which the broker is asked whether it still hears us: a confirm may take long (a slow
#: disk, a quorum queue without its majority), and giving it up means that the message is sent twice.
SILENCE_S = 8.0
TCP_CORK: int | None = getattr(socket, "TCP_CORK", None)


@dataclass(slots=True)
class Publish:
    """One message on its way."""

    message: Any
    exchange: str
    routing_key: str
    mandatory: bool
    settled: bool = False
    acked: bool = False
    #: Why the broker refused it last, with a nack.
    nack: str = ""
    #: Whether the connection was lost after it was written, so that the broker may have it.
    doubtful: bool = False
    #: Why no queue took it.
    returned: Exception | None = None

    @property
    def task_id(self) -> str:
        """The task's id, which Celery also writes into a property; of a message that is no task, its own, or none."""
        return _identity(self.message)


def _identity(message: Any) -> str:  # noqa: ANN401 py-amqp has no types
    return str(message.properties.get("correlation_id") or message.properties.get("message_id") or "")


def where(publish: Publish) -> str:
    """Where it was published to, for people; a nack itself does not say which queue refused."""
    if not publish.exchange:
        return f"the queue {publish.routing_key!r}"
    return f"where the exchange {publish.exchange!r} leads by the routing key {publish.routing_key!r}"


class ConfirmChannel(pyamqp.Channel):
    """A channel whose `basic_publish` returns when the broker has the message, and whose `write` does not wait.

    py-amqp has such a mode too (`confirm_publish`), but takes any confirm for the one it waits for, knows of no
    returned messages, and waits for ever.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 py-amqp has no types
        """Take py-amqp's connection; `opened` is the usual way."""
        super().__init__(connection)
        # A connection with `confirm_publish` has put its own here.
        self.__dict__.pop("basic_publish", None)
        #: Messages that were written since it was opened, the last one perhaps in part.
        self.written = 0
        #: What is written and not settled, by delivery tag, in the order of writing.
        self.in_flight: dict[int, Publish] = {}
        #: Called with each message that is settled.
        self.on_settled: Callable[[Publish], None] | None = None
        #: Where `basic_publish` hands its messages to instead of sending them.
        self.divert: Callable[[Publish], None] | None = None
        #: Whether the broker has stopped reading from publishers, for want of memory or disk.
        self.blocked = False
        connection.on_blocked = self._when_blocked
        connection.on_unblocked = self._when_unblocked
        self.events["basic_ack"].add(self._when_acked)  # type: ignore[attr-defined] # unlike celery-types
        self.events["basic_nack"].add(self._when_nacked)  # type: ignore[attr-defined] # unlike celery-types
        self.events["basic_return"].add(self._when_returned)  # type: ignore[attr-defined] # unlike celery-types

    @classmethod
    def of(cls, connection: Connection) -> ConfirmChannel:
        """The one channel of its kind of a kombu connection, which is made when it is not there.

        Raises:
            what kombu and py-amqp raise when they cannot connect.
        """
        ensure_connected(connection)
        beneath: Any = connection.connection
        channel: ConfirmChannel | None = getattr(beneath, "proj_confirm_channel", None)
        if channel is None or not channel.alive:
            channel = cls(beneath)
            channel.open()
            channel.confirm_select()
            beneath.proj_confirm_channel = channel
        return channel

    @property
    def alive(self) -> bool:
        """Whether it can still write; it is never opened again, for its delivery tags begin anew then."""
        return self.connection is not None

    def basic_publish(  # type: ignore[override] # unlike celery-types
        self,
        msg: Any,  # noqa: ANN401 py-amqp has no types
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,  # noqa: FBT001, FBT002 py-amqp's own
        immediate: bool = False,  # noqa: ARG002, FBT001, FBT002 py-amqp's own; RabbitMQ has none
        timeout: float | None = None,  # noqa: ARG002 the socket's write timeout holds
        confirm_timeout: float | None = None,
    ) -> None:
        """Write the message, and return when the broker has confirmed it.

        Raises:
            MessageNacked: the broker will not have it, now.
            ChannelError: no queue takes it, or the broker closed the channel over it.
            TimeoutError: it was not confirmed within `confirm_timeout` seconds.
            OSError: the connection is lost.
        """
        if self.divert is not None:
            self.divert(Publish(msg, exchange, routing_key, mandatory))
            return
        # What the broker has told us meanwhile, above all that it is gone: nothing is written then.
        while self.drain(timeout_s=0):
            pass
        publish = Publish(msg, exchange, routing_key, mandatory)
        tag = self.write(publish)
        try:
            self._wait_for(publish, confirm_timeout)
        finally:
            self.in_flight.pop(tag, None)
        if not publish.acked:
            raise MessageNacked(f"a nack from {where(publish)}")
        if publish.returned is not None:
            raise publish.returned

    def write(self, publish: Publish) -> int:
        """Write the message without waiting, and return its delivery tag.

        Raises:
            OSError: the connection is lost; a part may be written, so nothing more can be.
        """
        if self.connection is None:
            raise ConnectionResetError("The connection is lost.")
        self.written += 1
        tag = self.written
        self.in_flight[tag] = publish
        try:
            self.send_method(
                spec.Basic.Publish,
                "Bssbb",
                (0, publish.exchange, publish.routing_key, publish.mandatory, False),
                publish.message,
            )
        except BaseException as error:
            del self.in_flight[tag]
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # It could not be encoded, so nothing was written, and the broker did not count it.
                self.written -= 1
            elif not isinstance(error, Exception) and self.connection is not None:
                # Interrupted: a part of it may be written, and nothing can follow that.
                self.connection.collect()
            raise
        return tag

    def cork(self, *, on: bool) -> None:
        """Have the kernel gather what is written into full packets, for 0.2 s at most; off sends what it has.

        A packet a message makes the broker's process wake up for each. Only Linux has it.
        """
        if self.connection is not None and TCP_CORK is not None:
            self.connection.transport.sock.setsockopt(socket.IPPROTO_TCP, TCP_CORK, on)

    def drain(self, timeout_s: float) -> bool:
        """Take in one thing that the broker says; False when it said nothing in time.

        Raises:
            ChannelError: it closed this channel.
            OSError: the connection is lost.
        """
        if self.connection is None:
            raise ConnectionResetError("The connection is lost.")
        try:
            self.connection.drain_events(timeout=timeout_s)
        except TimeoutError:
            return False
        except ChannelError:
            if self.connection is None:
                raise
            # Another channel of this connection, such as that of monitoring events: no matter of ours.
            logger.warning("The broker closed a channel beside that of confirmed messages.", exc_info=True)
        return True

    def ask(self) -> None:
        """Return when the broker has shown that it hears us.

        Raises:
            OSError: it did not answer, and the connection is given up.
        """
        try:
            # Asking for what is in force already has no effect, and is always answered.
            self.send_method(spec.Confirm.Select, "b", (False,))
            self.wait(spec.Confirm.SelectOk, timeout=SILENCE_S)
        except TimeoutError as error:
            if self.connection is not None:
                self.connection.collect()
            raise ConnectionResetError("The broker has fallen silent.") from error

    def _wait_for(self, publish: Publish, timeout_s: float | None) -> None:
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not publish.settled:
            left_s = SILENCE_S if end is None else end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("it is written and not confirmed" + (": publishers are blocked" * self.blocked))
            # A broker that has blocked us does not read, so that asking it would prove nothing.
            if not self.drain(min(left_s, SILENCE_S)) and left_s > SILENCE_S and not self.blocked:
                self.ask()

    def _do_revive(self) -> None:
        # py-amqp opens a channel again that the broker closed. Ours stays closed.
        self.collect()

    def _settle(self, tag: int, *, multiple: bool, acked: bool) -> None:
        tags = [one for one in self.in_flight if one <= tag] if multiple else [tag]
        for one in tags:
            publish = self.in_flight.pop(one, None)
            if publish is None:
                continue
            publish.settled, publish.acked = True, acked
            if self.on_settled is not None:
                self.on_settled(publish)

    def _when_acked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 py-amqp's own
        self._settle(tag, multiple=multiple, acked=True)

    def _when_nacked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 py-amqp's own
        self._settle(tag, multiple=multiple, acked=False)

    def _when_returned(self, error: Any, exchange: str, routing_key: str, message: Any) -> None:  # noqa: ANN401 py-amqp's own
        """Note why; the confirm of a returned message follows, and never precedes, its return.

        Source: https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed
        """
        task_id = _identity(message)
        for publish in self.in_flight.values():
            if (
                publish.returned is None
                and publish.mandatory
                and (publish.task_id, publish.exchange, publish.routing_key) == (task_id, exchange, routing_key)
            ):
                error.reply_text = f"no queue is bound to the exchange {exchange!r} by the routing key {routing_key!r}"
                publish.returned = error
                return

    def _when_blocked(self, _reason: str) -> None:
        self.blocked = True

    def _when_unblocked(self) -> None:
        self.blocked = False
