"""A channel in confirm mode, which knows for each message that it wrote whether the broker has it."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from contextlib import contextmanager
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from amqp import spec
from amqp.exceptions import ChannelError, MessageNacked
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from proj.broker.connection import ensure_connected
from proj.broker.permissions.undeclared import UndeclaringChannel
from proj.broker.version import BrokerVersion
from proj.delivery.publishing.encoded_message import check_address, encode
from proj.delivery.publishing.outgoing_message import OutgoingMessage, message_id, nack_from, unroutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import amqp
    from amqp.exceptions import AMQPError
    from kombu import Connection

    from proj.delivery.publishing.outgoing_message import Content

logger = logging.getLogger(__name__)

#: Seconds without an answer after which the broker is asked whether it still reads. A confirm may take long (a slow
#: disk, a quorum queue without its majority), and a message that is given up too early is sent twice.
SILENCE_S = 8.0
#: Seconds for which a message that an exchange returned is sent again, where a binding may take effect late, and
#: seconds between two attempts. Up to 0.07 s were measured on RabbitMQ 4.0.5.
LATE_BINDING_S = 1.0
LATE_BINDING_PAUSE_S = 0.02
#: Seconds of nacks alone after which another channel is opened. A quorum queue that was full tells a channel to go on
#: only when it has drained below its limit: not when the limit was removed meanwhile (RabbitMQ 3.10.8, not 4.3.6).
REFUSED_S = 2.0
#: Bytes that are collected at most; about what the kernel takes at a time.
MOST_COLLECTED = 65_536
#: Addresses whose encoding is kept.
MOST_ADDRESSES = 1000
TCP_CORK: int | None = getattr(socket, "TCP_CORK", None)


class ConfirmChannel(UndeclaringChannel):
    """A channel whose `basic_publish` returns when the broker has the message, and whose `write` does not wait.

    py-amqp has a confirm mode too (`confirm_publish`). It takes any confirm for the one that it waits for, ignores
    returned messages, and waits without a deadline.
    """

    events: dict[str, set[Callable[..., None]]]

    def __init__(self, connection: amqp.Connection) -> None:
        """Make a channel of py-amqp's connection; use `for_connection` instead."""
        super().__init__(connection)
        # A connection with `confirm_publish` has replaced it by its own.
        self.__dict__.pop("basic_publish", None)
        #: How many messages it has written; the last one perhaps in part.
        self.written = 0
        #: Messages without an answer, by delivery tag, in the order in which they were written.
        self.in_flight: dict[int, OutgoingMessage] = {}
        #: Monotonic time since which the broker has sent nothing but nacks; None when it has sent none.
        self._nacked_since: float | None = None
        #: Monotonic time of the last ack or nack, of the end of an alarm, or of a write while nothing was in flight.
        self._answered_at = time.monotonic()
        #: Called with each message that the broker has answered.
        self.on_settled: Callable[[OutgoingMessage], None] | None = None
        #: Whether messages that are not confirmed go over a connection to another node of the cluster, once each.
        self.leaves = False
        #: If set, `basic_publish` calls this with the message instead of sending it.
        self.capture: Callable[[OutgoingMessage], None] | None = None
        #: Whether the broker does not read from publishers, because it is short of memory or disk.
        self.blocked = False
        #: Whether an exchange may return a message although its queue was bound just before.
        self.binds_late = BrokerVersion.read(self.connection.server_properties.get("version")).binds_late
        self._is_corked = False
        #: Whether `together` collects messages, those that it has, encoded, and what encodes them.
        self._collects = False
        self._collected = bytearray()
        self._collect_frames = frame_writer(self.connection, SimpleNamespace(write=self._collected.extend))
        #: The arguments of `basic.publish`, encoded, by exchange, routing key and whether it is mandatory.
        self._encoded: dict[tuple[str, str, bool], bytes] = {}
        self.connection.on_blocked = self._on_blocked
        self.connection.on_unblocked = self._on_unblocked
        self.events["basic_ack"].add(lambda tag, multiple: self._settle(tag, multiple=multiple, acked=True))
        self.events["basic_nack"].add(lambda tag, multiple: self._settle(tag, multiple=multiple, acked=False))
        self.events["basic_return"].add(self._on_return)

    @classmethod
    def for_connection(cls, connection: Connection) -> ConfirmChannel:
        """The only confirm channel of a kombu connection, opened if there is none.

        Raises:
            Exception: what kombu and py-amqp raise when they cannot connect, see `proj.broker.connection.failures`.
        """
        ensure_connected(connection)
        amqp_connection: Any = connection.connection
        channel: ConfirmChannel | None = getattr(amqp_connection, "proj_confirm_channel", None)
        if channel is not None and channel.alive and channel.is_refused:
            channel.close()
        if channel is None or not channel.alive:
            channel = cls(amqp_connection)
            channel.open()
            channel.confirm_select()
            amqp_connection.proj_confirm_channel = channel
        return channel

    @property
    def alive(self) -> bool:
        """Whether it can still write. A closed one is never opened again, because delivery tags would start again."""
        return self.connection is not None

    @property
    def is_refused(self) -> bool:
        """Whether another channel may have more luck, and no answer is expected over this one."""
        return (
            self._nacked_since is not None and not self.in_flight and time.monotonic() - self._nacked_since >= REFUSED_S
        )

    def basic_publish(
        self,
        msg: Content,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,  # noqa: FBT001, FBT002 py-amqp's own signature
        immediate: bool = False,  # noqa: ARG002, FBT001, FBT002 py-amqp's own signature; RabbitMQ does not have it
        timeout: float | None = None,  # noqa: ARG002 py-amqp's own signature; the socket's write timeout holds
        confirm_timeout: float | None = None,
        argsig: str = "Bssbb",  # noqa: ARG002 py-amqp's own signature
    ) -> None:
        """Write the message, and return when the broker has confirmed it.

        Raises:
            PublishRefused: AMQP or RabbitMQ cannot carry it; nothing of it was written.
            MessageNacked: the broker rejected it for now.
            ChannelError: it reached no queue, or the broker closed the channel because of it.
            TimeoutError: it was not confirmed within `confirm_timeout` seconds.
            OSError: the connection is lost.
        """
        if self.capture is not None:
            self.capture(OutgoingMessage(msg, exchange, routing_key, mandatory))
            return
        # Read what the broker has sent meanwhile: if it has closed the connection, nothing is written.
        while self.drain(timeout_s=0):
            pass
        end = None if confirm_timeout is None else time.monotonic() + confirm_timeout
        begun = time.monotonic()
        while (returned := self._publish_once(OutgoingMessage(msg, exchange, routing_key, mandatory), end)) is not None:
            now = time.monotonic()
            if not exchange or not self.binds_late or now - begun >= LATE_BINDING_S or (end and now >= end):
                raise returned
            time.sleep(LATE_BINDING_PAUSE_S)

    def _publish_once(self, outgoing: OutgoingMessage, end: float | None) -> AMQPError | None:
        """Write the message and wait for the confirm; the error with which the broker returned it, if it did."""
        tag = self.write(outgoing)
        try:
            self._wait_for(outgoing, end)
        finally:
            self.in_flight.pop(tag, None)
        if not outgoing.acked:
            raise MessageNacked(nack_from(outgoing))
        return outgoing.returned

    def write(self, outgoing: OutgoingMessage) -> int:
        """Write the message without waiting, and return its delivery tag.

        Raises:
            PublishRefused: AMQP or RabbitMQ cannot carry it; nothing of it was written.
            OSError: the connection is lost. A part of the message may be written, so nothing more can be.
        """
        if self.connection is None:
            raise ConnectionResetError("The connection is lost.")
        message = encode(outgoing, self.connection.frame_max)
        arguments = self._arguments(outgoing)
        if not self.in_flight:
            self._answered_at = time.monotonic()
        self.written += 1
        tag = self.written
        self.in_flight[tag] = outgoing
        try:
            # As py-amqp's `send_method`, which encodes the same address for each message.
            write_frame = self._collect_frames if self._collects else self.connection.frame_writer
            write_frame(1, self.channel_id, spec.Basic.Publish, arguments, message)
            if len(self._collected) > MOST_COLLECTED:
                self._write_collected()
        except BaseException as error:
            del self.in_flight[tag]
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # Its body could not be encoded, so nothing was written, and the broker did not count it.
                self.written -= 1
            elif not isinstance(error, Exception) and self.connection is not None:
                # Interrupted: a part of it may be written, and nothing can follow that.
                self.connection.collect()
            raise
        return tag

    def _arguments(self, outgoing: OutgoingMessage) -> bytes:
        address = (outgoing.exchange, outgoing.routing_key, outgoing.mandatory)
        arguments = self._encoded.get(address)
        if arguments is None:
            check_address(outgoing)
            if len(self._encoded) >= MOST_ADDRESSES:
                self._encoded.clear()
            arguments = self._encoded[address] = dumps("Bssbb", (0, *address, False))
        return arguments

    @contextmanager
    def together(self) -> Iterator[None]:
        """In the block, `write` collects messages; at its end they are written in one system call.

        Raises:
            OSError: the connection is lost. A part of the messages may be written, so nothing more can be.
        """
        self._collects = True
        try:
            yield
            self._write_collected()
        except BaseException as error:
            if not isinstance(error, OSError) and self.connection is not None:
                # Messages that are collected count as written.
                self.connection.collect()
            raise
        finally:
            self._collects = False
            self._collected.clear()

    def _write_collected(self) -> None:
        if self._collected:
            if self.connection is None:
                raise ConnectionResetError("The connection is lost.")
            self.connection.transport.write(self._collected)
            self._collected.clear()

    def cork(self, *, on: bool) -> None:
        """Let the kernel collect what is written into full packets, for at most 0.2 s; off sends what it has.

        With one packet a message the broker's process wakes up for each. Only Linux can do this.
        """
        if self.connection is not None and TCP_CORK is not None and on is not self._is_corked:
            self._is_corked = on
            self.connection.transport.sock.setsockopt(socket.IPPROTO_TCP, TCP_CORK, on)

    def drain(self, timeout_s: float) -> bool:
        """Handle one frame from the broker; False when none came within `timeout_s`.

        Raises:
            ChannelError: the broker closed this channel.
            OSError: the connection is lost.
        """
        if not self.is_readable(timeout_s):
            return False
        try:
            # It has begun to arrive, so the rest of it comes soon. One frame only: after a heartbeat, `drain_events`
            # would wait for another one.
            self.connection.blocking_read(SILENCE_S)
        except TimeoutError:
            return False
        except ChannelError:
            if self.connection is None:
                raise
            # It was another channel of this connection, such as that of monitoring events.
            logger.warning(
                "The broker closed another channel of the connection that publishes with confirms.",
                exc_info=True,
                extra={"action": "other_channel_closed"},
            )
        return True

    def is_readable(self, timeout_s: float, other: int | None = None) -> bool:
        """Whether something comes within `timeout_s`; False also when there is something to read from `other` first.

        py-amqp finds that out by an exception, which costs more than a frame.

        Raises:
            OSError: the connection is lost.
        """
        if self.connection is None:
            raise ConnectionResetError("The connection is lost.")
        transport: Any = self.connection.transport
        sock = transport.sock
        if transport._read_buffer or (isinstance(sock, ssl.SSLSocket) and sock.pending()):  # noqa: SLF001 no public name
            return True
        own = sock.fileno()
        return own in _readable([own] if other is None else [own, other], timeout_s)

    def check_connection(self) -> None:
        """Return when the broker has answered a request.

        Raises:
            OSError: it did not answer, and the connection is closed.
        """
        try:
            # To select confirm mode again has no effect, and RabbitMQ always answers it.
            self.send_method(spec.Confirm.Select, "b", (False,))
            self.wait(spec.Confirm.SelectOk, timeout=SILENCE_S)
        except TimeoutError as error:
            if self.connection is not None:
                self.connection.collect()
            raise ConnectionResetError(f"RabbitMQ did not answer for {SILENCE_S:g} s.") from error

    def check_progress(self) -> None:
        """Raise when nothing was answered for a while, so that what is in flight is written again over another node.

        When the leader of a quorum queue dies with its node, RabbitMQ 3.10 may confirm nothing more to a client of
        another node, although the queue has a new leader and the connection lives.

        Raises:
            ConnectionResetError: nothing was answered for 8 s, and the oldest message has not changed nodes yet.
        """
        oldest = next(iter(self.in_flight.values()), None)
        if not self.leaves or self.blocked or oldest is None or oldest.lost:
            return
        if time.monotonic() - self._answered_at > SILENCE_S:
            raise ConnectionResetError(f"RabbitMQ confirmed and rejected nothing for {SILENCE_S:g} s.")

    def _wait_for(self, outgoing: OutgoingMessage, end: float | None) -> None:
        while not outgoing.settled:
            self.check_progress()
            left_s = SILENCE_S if end is None else end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("written, but not confirmed" + (", publishers are blocked" * self.blocked))
            # A broker that has blocked us does not read, so a request proves nothing.
            if not self.drain(min(left_s, SILENCE_S)) and left_s > SILENCE_S and not self.blocked:
                self.check_connection()

    def _do_revive(self) -> None:
        # py-amqp opens a channel again that the broker has closed; this one stays closed.
        self.collect()

    def _settle(self, tag: int, *, multiple: bool, acked: bool) -> None:
        # A nack is an answer too: the queue has a leader.
        self._answered_at = time.monotonic()
        self._nacked_since = None if acked else self._nacked_since or self._answered_at
        # They are in flight in the order of their tags.
        tags = list(takewhile(lambda one: one <= tag, self.in_flight)) if multiple else [tag]
        for one in tags:
            outgoing = self.in_flight.pop(one, None)
            if outgoing is None:
                continue
            outgoing.settled, outgoing.acked = True, acked
            if self.on_settled is not None:
                self.on_settled(outgoing)

    def _on_return(
        self, error: AMQPError, exchange: str, routing_key: str, message: amqp.basic_message.Message
    ) -> None:
        """Note why the broker returned the message; the confirm always follows the return.

        Source: https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed
        """
        task_id = message_id(message)
        for outgoing in self.in_flight.values():
            if (
                outgoing.returned is None
                and outgoing.mandatory
                and (outgoing.task_id, outgoing.exchange, outgoing.routing_key) == (task_id, exchange, routing_key)
            ):
                error.reply_text = unroutable(exchange, routing_key)
                outgoing.returned = error
                return

    def _on_blocked(self, _reason: str) -> None:
        self.blocked = True

    def _on_unblocked(self) -> None:
        # Before that it read nothing, so it had nothing to answer.
        self.blocked, self._answered_at = False, time.monotonic()


def _readable(files: list[int], timeout_s: float) -> list[int]:
    """Those of these file descriptors that something can be read from within `timeout_s`."""
    if not hasattr(select, "poll"):
        # On Windows, and where eventlet has replaced what it has no substitute for.
        return select.select(files, [], [], timeout_s)[0]
    # `select.select` refuses a descriptor above 1023.
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return [file for file, _event in poll.poll(timeout_s * 1000)]
