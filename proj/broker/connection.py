"""Connections to the broker: made at once or refused with one clear error, and their AMQP channels with their types."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from amqp.exceptions import AccessRefused, NotAllowed
from kombu.exceptions import OperationalError
from kombu.utils.url import maybe_sanitize_url

from proj.broker.cluster.answering import answering
from proj.broker.tls.mistakes import TlsMistake
from proj.broker.tls.transport import use_our_transports
from proj.errors import NoBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import amqp
    from amqp.protocol import queue_declare_ok_t
    from kombu import Connection

# Whoever connects with this package does so safely: the commands, the dashboard, and an app that has called `install`.
use_our_transports()

#: Seconds for one read or write of the socket. Without them a connection whose other end is gone blocks for ever.
_TIMEOUT_S = 8
#: For a connection that publishes. RabbitMQ reads nothing from it while it is short of memory, or its disk is slow.
#: py-amqp lets the kernel end a connection on which nothing was read for one second (TCP_USER_TIMEOUT, milliseconds).
TRANSPORT_OPTIONS: dict[str, Any] = {
    "read_timeout": _TIMEOUT_S,
    "write_timeout": _TIMEOUT_S,
    "socket_settings": {socket.TCP_USER_TIMEOUT: _TIMEOUT_S * 1000} if hasattr(socket, "TCP_USER_TIMEOUT") else {},
}
#: How the broker's error ends when it refuses a connection for a while only: the virtual host or the user has too many
#: connections, or the virtual host is down.
_TEMPORARY = re.compile(r"(limit \(\d+\) is reached|limit of \(\d+\)|' is down)$")


@contextmanager
def connected(connection: Connection) -> Iterator[Connection]:
    """The connection, made now and released after the block. It is tried twice and not more: a person waits.

    In the block, no answer of the broker is waited for longer than some seconds.

    Raises:
        NoBroker: no broker answers, or it refuses the login, or one of the two does not trust the other's certificate;
            or it has let us in, and does not answer in the block.
    """
    address = addresses(connection)
    # A cluster without a majority of its nodes lets clients in, and answers some questions never.
    connection.transport_options = {**TRANSPORT_OPTIONS, **(connection.transport_options or {})}
    with connection:
        try:
            ensure_connected(connection, retry_after_s=0.2)
        except TlsMistake as error:
            raise NoBroker(str(error)) from error
        except connection.connection_errors as error:
            if is_login_refused(error):
                raise login_refused(connection, error) from error
            raise NoBroker(
                f"No broker answers at {address} ({error}). Is CELERY_BROKER_URL right? "
                "A broker of your own starts with: celery -A proj lab broker"
            ) from error
        # A refused login is one of these, because the broker closes a channel with it.
        except connection.channel_errors as error:
            raise login_refused(connection, error) from error
        try:
            yield connection
        except TimeoutError as error:
            # The broker would not answer that the connection is closed either.
            connection.collect()
            raise unanswered(connection) from error


def unanswered(connection: Connection) -> NoBroker:
    """The error for a broker that lets us in and does not answer; each address is tried for it."""
    return NoBroker(
        f"The broker at {addresses(connection)} has let us in, and did not answer within {_TIMEOUT_S} s. "
        f"{answering(connection)} A cluster does not answer while half or more of its nodes are down: start more of "
        "them."
    )


def addresses(connection: Connection) -> str:
    """The addresses of the broker without passwords, for people."""
    return " or ".join(maybe_sanitize_url(url) for url in connection.alt) or connection.as_uri()


def ensure_connected(connection: Connection, *, retry_after_s: float = 0.05) -> None:
    """Connect unless the connection is up; where that fails, try once more after `retry_after_s` seconds.

    Of several URLs each is tried, one after the other, before that pause.

    Raises:
        Exception: one of the transport's own errors, `connection.connection_errors` or `connection.channel_errors`.
    """
    connection.ensure_connection(
        max_retries=max(1, len(connection.alt)),
        interval_start=retry_after_s,  # type: ignore[arg-type] # celery-types says int; kombu sleeps for any number
        reraise_as_library_errors=False,
    )


def disconnect(connection: Connection) -> None:
    """Close the socket without telling the broker; the next use connects, to the next of several addresses."""
    connection.collect()
    connection.maybe_switch_next()


def failures(connection: Connection) -> tuple[type[Exception], ...]:
    """The errors of a broker, a connection or a channel that fails."""
    return (
        *connection.connection_errors,
        *connection.channel_errors,
        *connection.recoverable_connection_errors,
        OperationalError,
    )


def losses(connection: Connection) -> tuple[type[Exception], ...]:
    """As `failures`, and what py-amqp raises where it uses a connection or a channel that it has given up."""
    return (*failures(connection), AttributeError)


def open_channel(connection: Connection) -> amqp.Channel:
    """A new channel of an AMQP connection; celery-types gives it only the methods that all transports have."""
    return cast("amqp.Channel", connection.channel())


def default_channel(connection: Connection) -> amqp.Channel:
    """The channel that kombu keeps for an AMQP connection; celery-types gives it only what all transports have."""
    return cast("amqp.Channel", connection.default_channel)


def count_queue(channel: amqp.Channel, name: str) -> queue_declare_ok_t:
    """The messages that are ready in a queue and its consumers, counted now by a passive declaration.

    The broker closes the channel when it refuses.

    Raises:
        NotFound: there is no such queue.
        ResourceLocked: the queue is exclusive to another connection.
    """
    # The stub says a plain tuple, or None without an answer (nowait).
    return cast("queue_declare_ok_t", channel.queue_declare(queue=name, passive=True))


def is_login_refused(error: BaseException) -> bool:
    """Whether trying again is useless: a wrong password, no permission, no such virtual host."""
    if isinstance(error, NotAllowed):
        return _TEMPORARY.search(str(error.reply_text)) is None
    return isinstance(error, AccessRefused)


def login_refused(connection: Connection, error: BaseException) -> NoBroker:
    """The error for a broker that answers and refuses the login."""
    return NoBroker(
        f"The broker at {connection.as_uri()} refuses the login ({error}). "
        "Are the user, the password and the virtual host in CELERY_BROKER_URL right?"
    )
